import { closeSync, openSync, readdirSync, statSync, unlinkSync } from 'node:fs';
import path from 'node:path';
import { newProbeMark, PROBE_MARK } from '../../../core/probe-mark.ts';
import { MAX_MARK_MS } from './probe-protocol.ts';

/** Nobody waits for an older mark any more: whoever made it was killed. */
const STALE_MS = 2 * MAX_MARK_MS;

/** Files of random names in folders, one in each. */
export class FolderMarks implements Disposable {
  readonly #names = new Map<string, string>();

  /** The mark of a folder, made now unless there is one. Takes away what others have left there. */
  in(folder: string): string {
    const known = this.#names.get(folder);
    if (known !== undefined) return known;
    const name = newProbeMark();
    const file = path.join(folder, name);
    closeSync(openSync(file, 'wx', 0o600));
    this.#names.set(folder, name);
    // By the clock of the storage, as others may have made theirs by the clock of another node.
    removeStale(folder, statSync(file).mtimeMs - STALE_MS);
    return name;
  }

  [Symbol.dispose](): void {
    for (const [folder, name] of this.#names) tryTo(() => unlinkSync(path.join(folder, name)));
    this.#names.clear();
  }
}

function removeStale(folder: string, olderThanMs: number): void {
  tryTo(() => {
    for (const name of readdirSync(folder)) {
      if (!PROBE_MARK.test(name)) continue;
      const file = path.join(folder, name);
      tryTo(() => {
        if (statSync(file).mtimeMs < olderThanMs) unlinkSync(file);
      });
    }
  });
}

/** What is left now the next probe of the folder takes away. */
function tryTo(work: () => void): void {
  try {
    work();
  } catch {
    // Said above.
  }
}
