import { readFileSync } from 'node:fs';
import path from 'node:path';

/**
 * What hangs together with a file, by its name alone, as looking at it may hang: where it is mounted, or its folder for what is
 * on the root's file system, where a link may lead anywhere. The kernel answers from memory.
 */
export function placeOf(file: string, mountInfo = '/proc/self/mountinfo'): string {
  const named = path.resolve(file);
  let found = '/';
  for (const line of readFileSync(mountInfo, 'utf8').split('\n')) {
    // The fifth field is where it is mounted, blanks and backslashes in octal (proc_pid_mountinfo(5)).
    const point = (line.split(' ')[4] ?? '').replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const holds = named === point || named.startsWith(`${point}/`);
    if (point !== '' && holds && point.length > found.length) found = point;
  }
  return found === '/' ? path.dirname(named) : found;
}
