import { chmodSync, closeSync, existsSync, mkdirSync, openSync, renameSync } from 'node:fs';
import path from 'node:path';
import type { Logger } from '../../core/logger.ts';
import { AgentEpoch } from './agent-epoch.ts';
import { isDamage, journalError } from './errors.ts';
import { JournalDatabase } from './journal-database.ts';
import { MigrationStore } from './migration-store.ts';
import { OperationLog } from './operation-log.ts';
import { SCHEMA } from './schema.ts';
import { StateLock } from './state-lock.ts';
import { VmStore } from './vm-store.ts';

export interface JournalHealth {
  /** `Healthy`; `JournalReplaced`: it was damaged and begun anew; `WriteFailed`: what happens now is not recorded. */
  readonly reason: 'Healthy' | 'JournalReplaced' | 'WriteFailed';
  /** For people; empty when healthy. */
  readonly message: string;
}

export interface JournalOptions {
  readonly logger: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /** The schema's steps; only tests give others. */
  readonly schema?: readonly string[];
}

/**
 * What the agent must still know after it was killed: its epoch, migrations, who owns which VM, operations.
 * What a call has written is on the disk when it returns. Calls fail with STORAGE_FULL or JOURNAL_FAILURE and
 * have then changed nothing.
 */
export class Journal implements Disposable {
  readonly epochs: AgentEpoch;
  readonly migrations: MigrationStore;
  readonly vms: VmStore;
  readonly operations: OperationLog;
  readonly #database: JournalDatabase;
  readonly #lock: StateLock | undefined;
  readonly #replaced: string | undefined;

  private constructor(
    database: JournalDatabase,
    parts: { readonly lock?: StateLock; readonly replaced?: string | undefined; now: () => number },
  ) {
    this.#database = database;
    this.#lock = parts.lock;
    this.#replaced = parts.replaced;
    this.epochs = new AgentEpoch(database, parts.now);
    this.migrations = new MigrationStore(database);
    this.vms = new VmStore(database, parts.now);
    this.operations = new OperationLog(database, parts.now);
  }

  /**
   * Opens `journal.db` in a directory, making both if missing, for this process alone. A damaged file is moved
   * aside and a new one begun, because libvirt still knows the VMs and the agent must be able to run. Fails with
   * JOURNAL_FAILURE if another agent uses the directory or a newer one has written the file.
   */
  static open(directory: string, options: JournalOptions): Journal {
    const file = path.join(directory, 'journal.db');
    const lockFile = path.join(directory, 'journal.lock');
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      ensurePrivateFile(lockFile);
    } catch (error) {
      throw journalError(error, file);
    }
    const lock = new StateLock(lockFile);
    try {
      const { database, replaced } = openOrReplace(file, options);
      return new Journal(database, { lock, replaced, now: options.now ?? Date.now });
    } catch (error) {
      lock[Symbol.dispose]();
      throw journalError(error, file);
    }
  }

  /** A journal that is gone with the process, for tests. */
  static inMemory(options: Omit<JournalOptions, 'logger'> = {}): Journal {
    const database = new JournalDatabase(':memory:');
    database.migrate(options.schema ?? SCHEMA);
    return new Journal(database, { now: options.now ?? Date.now });
  }

  health(): JournalHealth {
    const { failure } = this.#database;
    if (failure !== undefined) return { reason: 'WriteFailed', message: failure.message };
    if (this.#replaced === undefined) return { reason: 'Healthy', message: '' };
    return {
      reason: 'JournalReplaced',
      message: `The journal was damaged and begun anew: the history is lost, the old file is ${this.#replaced}`,
    };
  }

  [Symbol.dispose](): void {
    this.#database[Symbol.dispose]();
    this.#lock?.[Symbol.dispose]();
  }
}

function openOrReplace(
  file: string,
  options: JournalOptions,
): { readonly database: JournalDatabase; readonly replaced: string | undefined } {
  const damage = findDamage(file);
  let replaced: string | undefined;
  if (damage !== '') {
    replaced = moveAside(file, (options.now ?? Date.now)());
    options.logger.error({ file, movedTo: replaced, damage }, 'Journal is damaged and begun anew');
  }
  ensurePrivateFile(file);
  const database = new JournalDatabase(file);
  try {
    database.migrate(options.schema ?? SCHEMA);
  } catch (error) {
    database[Symbol.dispose]();
    throw error;
  }
  return { database, replaced };
}

/** What is wrong with the file; empty if it is sound or not there. */
function findDamage(file: string): string {
  if (!existsSync(file)) return '';
  try {
    using database = new JournalDatabase(file);
    return database.check();
  } catch (error) {
    if (isDamage(error)) return error instanceof Error ? error.message : String(error);
    throw error;
  }
}

/** Keeps a damaged journal, with its companions, for whoever wants to know what happened. */
function moveAside(file: string, nowMs: number): string {
  const aside = `${file}.corrupt-${new Date(nowMs).toISOString().replaceAll(/[:.]/g, '-')}`;
  for (const suffix of ['-wal', '-shm', ''] as const) {
    if (existsSync(file + suffix)) renameSync(file + suffix, aside + suffix);
  }
  return aside;
}

/** SQLite's companion files take the mode of the database, so it is set before SQLite opens it. */
function ensurePrivateFile(file: string): void {
  // A file that is there is not opened: closing it would drop the locks that this process has on it.
  if (!existsSync(file)) closeSync(openSync(file, 'a', 0o600));
  chmodSync(file, 0o600);
}
