import { readFile, rename, writeFile } from 'node:fs/promises';
import { kvmFindingSchema } from '../../core/kvm-finding.ts';
import type { BootFinding } from '../boot-probe.ts';

/** A busy machine may have kept a guest from booting in time, so that none does is not taken for granted for long. */
const DOUBT_MS = 3_600_000;

/** The last finding; what cannot be read or written is found out again. */
export class FindingFile {
  readonly #file: string;
  readonly #now: () => number;

  constructor(file: string, now: () => number = Date.now) {
    this.#file = file;
    this.#now = now;
  }

  /** An earlier finding of the same host, if it still holds. */
  async recall(key: string): Promise<BootFinding | undefined> {
    const text = await readFile(this.#file, 'utf8').catch(() => '');
    const kept = kvmFindingSchema.safeParse(parseJson(text)).data;
    if (kept === undefined || kept.key !== key) return undefined;
    const ageMs = this.#now() - kept.foundAtMs;
    const holds = kept.boots || (ageMs >= 0 && ageMs < DOUBT_MS);
    return holds ? { boots: kept.boots, why: kept.why } : undefined;
  }

  async remember(key: string, finding: BootFinding): Promise<void> {
    const whole = `${this.#file}.new`;
    const text = JSON.stringify({ key, foundAtMs: this.#now(), ...finding });
    await writeFile(whole, text)
      .then(() => rename(whole, this.#file))
      .catch(() => undefined);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
