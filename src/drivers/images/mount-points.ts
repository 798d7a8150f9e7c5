import { readFileSync } from 'node:fs';
import path from 'node:path';

/** Where something is mounted: the fifth field, blanks and backslashes in octal (proc_pid_mountinfo(5)). */
export function listMountPoints(mountInfo = '/proc/self/mountinfo'): ReadonlySet<string> {
  const fields = readFileSync(mountInfo, 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? []);
  return new Set(
    fields.map((field) =>
      field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    ),
  );
}

/**
 * What hangs together with a file, by its name alone, as looking at it may hang: where it is mounted, or its folder for what is
 * on the root's file system, where a link may lead anywhere. The kernel answers from memory.
 */
export function placeOf(file: string, mountInfo = '/proc/self/mountinfo'): string {
  const named = path.resolve(file);
  let found = '/';
  for (const point of listMountPoints(mountInfo)) {
    const holds = named === point || named.startsWith(`${point}/`);
    if (holds && point.length > found.length) found = point;
  }
  return found === '/' ? path.dirname(named) : found;
}
