import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../core/run-command.ts';

/** What the guest of a demo VM writes to and reads; small, so that it is soon through with it. */
export const DEMO_DISK_SIZE = '1M';
const BASE_BYTES = 1024 * 1024;

export interface DemoDisk {
  /** The overlay, which the VM is given. */
  readonly path: string;
  /** What lies behind it, for all VMs of the folder. */
  readonly basePath: string;
}

/** Makes the disk of a demo VM: a qcow2 image over a base image that has something on it. */
export async function createDemoDisk(
  folder: string,
  name: string,
  signal: AbortSignal,
): Promise<DemoDisk> {
  await mkdir(folder, { recursive: true });
  const basePath = path.join(folder, 'demo-base.raw');
  if (!existsSync(basePath)) {
    // Several may begin at once, and one that is half there must not be taken.
    const temporary = path.join(folder, `${name}-base.tmp`);
    await writeFile(temporary, randomBytes(BASE_BYTES));
    await rename(temporary, basePath);
  }
  const overlay = path.join(folder, `${name}.qcow2`);
  const backing = ['-F', 'raw', '-b', basePath];
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', ...backing, overlay], {}, signal);
  return { path: overlay, basePath };
}
