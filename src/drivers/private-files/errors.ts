import { AgentError } from '../../core/errors.ts';

// The file system is full, or what this user may have of it is used up.
const FULL: readonly string[] = ['ENOSPC', 'EDQUOT'];

/** What a caller may know about a failure of the file system: STORAGE_FULL or JOURNAL_FAILURE. */
export function privateFileError(error: unknown, root: string): AgentError {
  if (error instanceof AgentError) return error;
  const code = errnoOf(error);
  if (FULL.includes(code)) {
    return new AgentError(
      'STORAGE_FULL',
      `Cannot keep private files of VMs in ${root}: the disk is full; make room there`,
      { cause: error },
    );
  }
  return new AgentError(
    'JOURNAL_FAILURE',
    `Cannot use the private files of VMs in ${root}: ${code || 'unexpected failure'}; check the disk and who may write there`,
    { cause: error },
  );
}

export function isMissing(error: unknown): boolean {
  return errnoOf(error) === 'ENOENT';
}

function errnoOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
