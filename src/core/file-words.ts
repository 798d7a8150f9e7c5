const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'it does not exist',
  EACCES: 'you may not read it',
  EISDIR: 'it is a folder',
  ENOTDIR: 'it leads through a file that is no folder',
};

/** Why a file of this machine could not be read, for people; the error's code where there are no words for that. */
export function whyUnreadable(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'error';
  return WORDS[code] ?? code;
}
