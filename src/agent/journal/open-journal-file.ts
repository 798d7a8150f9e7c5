import { chmodSync, closeSync, existsSync, mkdirSync, openSync, renameSync } from 'node:fs';
import path from 'node:path';
import type { AgentError } from '../../core/errors.ts';
import { isDamage, isReadOnly, isUnwritable, journalError } from './errors.ts';
import { JournalFile } from './journal-file.ts';
import type { JournalSettings, ReplacedJournal } from './journal-protocol.ts';
import { Reserve } from './reserve.ts';
import { ReservedJournal } from './reserved-journal.ts';
import { StandInJournal } from './stand-in-journal.ts';
import { StateLock } from './state-lock.ts';

export interface OpenJournalFile extends Disposable {
  readonly file: Pick<ReservedJournal, 'perform' | 'shortage'>;
  readonly replaced: ReplacedJournal | undefined;
  /** Why nothing can be written yet, or nothing is to be begun; undefined if it can. */
  readonly failure: AgentError | undefined;
}

/**
 * Opens `journal.db` in a directory, making both if missing, for this process alone. A damaged file is moved
 * aside and a new one begun, because libvirt still knows the VMs and the agent must be able to run; for the same reason one
 * that cannot be written, on a full disk or a read-only file system, is stood in for until it can. Fails with
 * JOURNAL_FAILURE if another agent uses the directory or a newer one has written the file.
 */
export function openJournalFile(settings: JournalSettings): OpenJournalFile {
  const file = journalPath(settings.directory);
  using undo = new DisposableStack();
  let lock: StateLock | undefined;
  try {
    lock = undo.use(lockState(settings.directory));
    const opened = openWritable(file, settings, lock);
    undo.move();
    return opened;
  } catch (error) {
    const failure = journalError(error, file);
    if (!isUnwritable(error)) throw failure;
    const held = lock ?? undo.use(lockState(settings.standInDirectory));
    const open = (): OpenJournalFile => {
      try {
        lock ??= lockState(settings.directory);
        return openWritable(file, settings, lock);
      } catch (reason) {
        throw journalError(reason, file);
      }
    };
    const journal = new StandInJournal(file, settings, { failure, open });
    undo.move();
    return {
      file: journal,
      replaced: undefined,
      failure,
      [Symbol.dispose]: () => {
        journal[Symbol.dispose]();
        held[Symbol.dispose]();
        lock?.[Symbol.dispose]();
      },
    };
  }
}

/** Keeps every other agent from the directory. */
function lockState(directory: string): StateLock {
  const lockFile = path.join(directory, 'journal.lock');
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  return withRoom(reserveOf(directory), () => {
    ensurePrivateFile(lockFile);
    return new StateLock(lockFile);
  });
}

function reserveOf(directory: string): Reserve {
  return new Reserve(path.join(directory, 'journal.reserve'));
}

/** Takes over the lock, unless it fails. */
function openWritable(file: string, settings: JournalSettings, lock: StateLock): OpenJournalFile {
  using stack = new DisposableStack();
  const reserve = reserveOf(settings.directory);
  const damage = withRoom(reserve, () => findDamage(file));
  const replaced = damage === '' ? undefined : { movedTo: moveAside(file, settings.nowMs), damage };
  ensurePrivateFile(file);
  const opening = stack.use(withRoom(reserve, () => openMigrated(file, settings.schema)));
  const journal = stack.use(new ReservedJournal(opening, reserve, file));
  const opened = stack.move();
  return {
    file: journal,
    replaced,
    failure: journal.shortage,
    [Symbol.dispose]: () => {
      opened.dispose();
      lock[Symbol.dispose]();
    },
  };
}

/** Does it again if there was no room for it, and a reserve that can be given up. */
function withRoom<T>(reserve: Reserve, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isUnwritable(error) || isReadOnly(error) || !reserve.giveUp()) throw error;
    return work();
  }
}

function openMigrated(file: string, schema: readonly string[]): JournalFile {
  using stack = new DisposableStack();
  const journal = stack.use(new JournalFile(file));
  journal.migrate(schema);
  stack.move();
  return journal;
}

export function journalPath(directory: string): string {
  return path.join(directory, 'journal.db');
}

/** What is wrong with the file; empty if it is sound or not there. */
function findDamage(file: string): string {
  if (!existsSync(file)) return '';
  try {
    using journal = new JournalFile(file);
    return journal.check();
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
