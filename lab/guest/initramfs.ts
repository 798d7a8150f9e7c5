import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, readdir, rename, stat } from 'node:fs/promises';
import path from 'node:path';
import { LabError } from '../core/project.ts';
import { run } from '../core/run-command.ts';

/* What guests that boot from memory alone are made of. */

/** The release of it, of those in /boot. */
export async function newestCloudKernel(): Promise<string> {
  const names = await readdir('/boot');
  const releases = names.flatMap(
    (name) => /^vmlinuz-(.+-cloud-(?:amd|arm)64)$/.exec(name)?.[1] ?? [],
  );
  const collator = new Intl.Collator('en', { numeric: true });
  const newest = releases.toSorted((x, y) => collator.compare(x, y)).at(-1);
  if (newest === undefined) {
    throw new LabError('No cloud kernel in /boot: install linux-image-cloud-amd64');
  }
  return newest;
}

/** Whether something made of a source needs not be made again. */
export async function isNewer(target: string, source: string): Promise<boolean> {
  if (!existsSync(target)) return false;
  return (await stat(target)).mtimeMs > (await stat(source)).mtimeMs;
}

/** The program of a guest's first process, which needs no library. */
export async function compileInit(
  sources: readonly string[],
  root: string,
  signal: AbortSignal,
): Promise<void> {
  const warnings = ['-Wall', '-Wextra', '-Wconversion', '-Werror'];
  const output = path.join(root, 'init');
  await run(['cc', '-O2', '-static', '-s', ...warnings, '-o', output, ...sources], {}, signal);
}

/** Into the folder `modules`. What the kernel has built in is not there. */
export async function copyModules(
  release: string,
  modules: readonly string[],
  root: string,
  signal: AbortSignal,
): Promise<void> {
  const folder = path.join(root, 'modules');
  await mkdir(folder);
  for (const module of modules) await copyModule(release, module, folder, signal);
}

/** All that is in the folder. Not compressed: an emulated CPU unpacks slower than it reads. */
export async function packInitramfs(
  root: string,
  target: string,
  signal: AbortSignal,
): Promise<void> {
  const files = (await readdir(root, { recursive: true })).toSorted();
  const archive = `${target}.${randomUUID()}`;
  await run(
    ['cpio', '--create', '--format=newc', '--quiet', `--file=${archive}`],
    { cwd: root, input: `${files.join('\n')}\n` },
    signal,
  );
  await rename(archive, target);
}

/** Debian 13 compresses modules, Debian 12 does not; the guest's loader takes them plain. */
async function copyModule(
  release: string,
  module: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  const source = `/lib/modules/${release}/kernel/${module}`;
  const target = path.join(folder, path.basename(module));
  if (existsSync(source)) {
    await copyFile(source, target);
  } else if (existsSync(`${source}.xz`)) {
    await copyFile(`${source}.xz`, `${target}.xz`);
    await run(['xz', '--decompress', `${target}.xz`], {}, signal);
  }
  // Built in otherwise.
}
