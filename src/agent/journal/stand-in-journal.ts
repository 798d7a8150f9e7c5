import { copyFileSync, existsSync, mkdirSync, rmSync, statSync } from 'node:fs';
import path from 'node:path';
import type { AgentError } from '../../core/errors.ts';
import { isDamage } from './errors.ts';
import { JournalFile } from './journal-file.ts';
import type {
  JournalSettings,
  PerformOptions,
  Statement,
  StatementResult,
} from './journal-protocol.ts';
import type { ReservedJournal } from './reserved-journal.ts';

/** How often a write looks whether the journal can be written by now. */
const TRY_AGAIN_MS = 1_000;
const READS = /^\s*SELECT\b/i;

/**
 * Stands in for a journal that cannot be written since the agent started, as on a full disk, so that the agent can tell of its
 * VMs and nothing is forgotten: reads are answered from a copy in a folder that is lost with the boot. Nothing is
 * written to it: a write opens the journal itself, if that is possible by now, or fails and has changed nothing.
 */
export class StandInJournal implements Disposable {
  /** Why the journal cannot be written. */
  readonly #failure: AgentError;
  readonly #open: () => OpenFile;
  readonly #copy: JournalFile;
  #opened: OpenFile | undefined;
  #triedAtMs = performance.now();

  constructor(file: string, settings: JournalSettings, { failure, open }: StandInOptions) {
    this.#copy = openCopy(file, settings);
    this.#failure = failure;
    this.#open = open;
  }

  /** As `JournalFile` does, or fails as opening the journal does. */
  perform(
    statements: readonly Statement[],
    options: PerformOptions = {},
  ): readonly StatementResult[] {
    if (this.#opened === undefined && !statements.every(({ sql }) => READS.test(sql))) {
      this.#tryToOpen();
    }
    return this.#opened?.file.perform(statements, options) ?? this.#copy.perform(statements);
  }

  /** Why nothing is to be begun. */
  get shortage(): AgentError | undefined {
    return this.#opened === undefined ? this.#failure : this.#opened.file.shortage;
  }

  #tryToOpen(): void {
    const nowMs = performance.now();
    if (nowMs - this.#triedAtMs < TRY_AGAIN_MS) throw this.#failure;
    this.#triedAtMs = nowMs;
    this.#opened = this.#open();
    this.#copy[Symbol.dispose]();
  }

  [Symbol.dispose](): void {
    this.#copy[Symbol.dispose]();
    this.#opened?.[Symbol.dispose]();
  }
}

/** The journal itself, once it is open. */
interface OpenFile extends Disposable {
  readonly file: Pick<ReservedJournal, 'perform' | 'shortage'>;
}

export interface StandInOptions {
  readonly failure: AgentError;
  /** Opens the journal itself. */
  readonly open: () => OpenFile;
}

/** A journal that is not there yet, or damaged, is stood in for by an empty one, as it would be begun anew. */
function openCopy(file: string, { standInDirectory, schema }: JournalSettings): JournalFile {
  const folder = path.join(standInDirectory, 'journal-copy');
  rmSync(folder, { recursive: true, force: true });
  if (isThere(file)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const copy = path.join(folder, 'journal.db');
    // What was written last may only be in the log beside it.
    for (const suffix of ['', '-wal']) {
      if (existsSync(file + suffix)) copyFileSync(file + suffix, copy + suffix);
    }
    const opened = tryCopy(copy, schema);
    if (opened !== undefined) return opened;
  }
  const empty = new JournalFile(':memory:');
  empty.migrate(schema);
  return empty;
}

/** Fails where that cannot be told. */
function isThere(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false }) !== undefined;
}

/** Undefined for one that is damaged. */
function tryCopy(copy: string, schema: readonly string[]): JournalFile | undefined {
  using stack = new DisposableStack();
  try {
    const journal = stack.use(new JournalFile(copy));
    if (journal.check() !== '') return undefined;
    journal.migrate(schema);
    stack.move();
    return journal;
  } catch (error) {
    // What is no damage passes, or is a newer agent's: with an empty journal it would be forgotten who owns which VM.
    if (!isDamage(error)) throw error;
    return undefined;
  }
}
