import { realpath, stat } from 'node:fs/promises';
import path from 'node:path';

export interface QemuProgram {
  readonly path: string;
  /** Differs after an upgrade. */
  readonly identity: string;
}

const PROGRAM = 'qemu-system-x86_64';
/** Enterprise Linux has it outside the path. */
const ELSEWHERE = ['/usr/bin/qemu-system-x86_64', '/usr/libexec/qemu-kvm'];

/** The first that there is. */
export async function findQemu(
  candidates: readonly string[] = defaultCandidates(),
): Promise<QemuProgram | undefined> {
  for (const candidate of candidates) {
    try {
      const real = await realpath(candidate);
      const { size, mtimeMs } = await stat(real);
      return { path: candidate, identity: `${real} ${size} ${mtimeMs}` };
    } catch {
      // The next one may be there.
    }
  }
  return undefined;
}

function defaultCandidates(): string[] {
  const folders = (process.env['PATH'] ?? '')
    .split(path.delimiter)
    .filter((folder) => folder !== '');
  return [...folders.map((folder) => path.join(folder, PROGRAM)), ...ELSEWHERE];
}
