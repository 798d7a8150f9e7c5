import path from 'node:path';
import { AgentError, hasReason } from '../../core/errors.ts';
import { folderProblem } from '../../core/file-words.ts';

// Result codes of SQLite, https://www.sqlite.org/rescode.html; extended codes carry the primary in the low byte.
const BUSY = 5;
const READ_ONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANNOT_OPEN = 14;
const NOT_A_DATABASE = 26;
// The shared-memory file of the WAL could not grow, which happens when the disk is full.
const IOERR_SHMSIZE = 10 | (19 << 8);

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error)) return undefined;
  return typeof error.errcode === 'number' ? error.errcode : undefined;
}

function primaryCode(error: unknown): number {
  return (resultCode(error) ?? 0) & 0xff;
}

/** Whether a newer agent has written the file: until that one is installed again this one cannot start. */
export function isNewerJournal(error: unknown): boolean {
  return hasReason(error, 'JOURNAL_FAILURE') && error.metadata['version'] !== undefined;
}

/** Whether the file's content is damaged, which a new attempt cannot mend. */
export function isDamage(error: unknown): boolean {
  return [CORRUPT, NOT_A_DATABASE].includes(primaryCode(error));
}

export function isLocked(error: unknown): boolean {
  return primaryCode(error) === BUSY;
}

function isFull(error: unknown): boolean {
  return (
    primaryCode(error) === FULL ||
    resultCode(error) === IOERR_SHMSIZE ||
    ['ENOSPC', 'EDQUOT'].includes(codeOf(error))
  );
}

export function isReadOnly(error: unknown): boolean {
  if (error instanceof AgentError) return isReadOnly(error.cause);
  return primaryCode(error) === READ_ONLY || codeOf(error) === 'EROFS';
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return typeof code === 'string' ? code : '';
}

/** Whether the file may be well and only the disk does not take anything now. SQLite cannot open what it cannot make files beside. */
export function isUnwritable(error: unknown): boolean {
  if (error instanceof AgentError) return isUnwritable(error.cause);
  return isFull(error) || isReadOnly(error) || primaryCode(error) === CANNOT_OPEN;
}

/** What a caller may know about a failure of SQLite: STORAGE_FULL or JOURNAL_FAILURE. */
export function journalError(error: unknown, file: string): AgentError {
  if (error instanceof AgentError) return error;
  const text = error instanceof Error ? error.message : String(error);
  if (isFull(error)) {
    return new AgentError('STORAGE_FULL', `Cannot write the journal ${file}: the disk is full`, {
      cause: error,
    });
  }
  const folder = path.dirname(file);
  const problem = folderProblem(folder);
  if (problem !== undefined) {
    return new AgentError(
      'JOURNAL_FAILURE',
      `Cannot write the journal ${file}: ${folder} ${problem}`,
      { cause: error },
    );
  }
  return new AgentError('JOURNAL_FAILURE', `Cannot use the journal ${file}: ${text}`, {
    cause: error,
    ...(isLocked(error) ? { retryAfterMs: 1_000 } : {}),
  });
}
