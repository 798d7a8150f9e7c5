import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { inProject, LabError } from '../core/project.ts';
import { run } from '../core/run-command.ts';

const SOURCES = ['demo-guest.c', 'demo-network.c'].map((name) => inProject(`native/guest/${name}`));
const OUTPUT = inProject('build/guest');

// Modules in Debian's kernel: ACPI's power button and the device that reports it, and what a disk and a network need.
const MODULES = [
  'drivers/acpi/button.ko',
  'drivers/input/evdev.ko',
  'drivers/virtio/virtio.ko',
  'drivers/virtio/virtio_ring.ko',
  'drivers/virtio/virtio_pci_legacy_dev.ko',
  'drivers/virtio/virtio_pci_modern_dev.ko',
  'drivers/virtio/virtio_pci.ko',
  'drivers/block/virtio_blk.ko',
  'net/core/failover.ko',
  'drivers/net/net_failover.ko',
  'drivers/net/virtio_net.ko',
];

/** What a VM boots to be the demo guest. */
export interface DemoGuest {
  readonly kernelPath: string;
  readonly initrdPath: string;
  /** To be followed by `demo.…` parameters, see native/guest/demo-guest.c. */
  readonly commandLine: string;
}

// Mitigations cost an emulated guest time and protect nobody here; EDD probing hangs under some nested KVMs.
const COMMAND_LINE = 'console=ttyS0 quiet mitigations=off edd=off';

/** Builds the guest's initramfs for the newest cloud kernel in /boot, unless it is there and current. */
export async function ensureDemoGuest(signal: AbortSignal): Promise<DemoGuest> {
  const release = await newestCloudKernel();
  const initrdPath = path.join(OUTPUT, `initrd-${release}.cpio`);
  const built = SOURCES.map((source) => isNewer(initrdPath, source));
  if ((await Promise.all(built)).includes(false)) await buildInitramfs(release, initrdPath, signal);
  return { kernelPath: `/boot/vmlinuz-${release}`, initrdPath, commandLine: COMMAND_LINE };
}

async function newestCloudKernel(): Promise<string> {
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

async function isNewer(target: string, source: string): Promise<boolean> {
  if (!existsSync(target)) return false;
  return (await stat(target)).mtimeMs > (await stat(source)).mtimeMs;
}

async function buildInitramfs(release: string, target: string, signal: AbortSignal): Promise<void> {
  await mkdir(OUTPUT, { recursive: true });
  const root = await mkdtemp(path.join(OUTPUT, 'root-'));
  try {
    await compile(path.join(root, 'init'), signal);
    await mkdir(path.join(root, 'modules'));
    for (const module of MODULES)
      await copyModule(release, module, path.join(root, 'modules'), signal);
    const files = [
      'init',
      'modules',
      ...MODULES.map((module) => `modules/${path.basename(module)}`),
    ];
    // Not compressed: an emulated CPU unpacks slower than it reads.
    const archive = `${target}.${randomUUID()}`;
    await run(
      ['cpio', '--create', '--format=newc', '--quiet', `--file=${archive}`],
      { cwd: root, input: `${files.join('\n')}\n` },
      signal,
    );
    await rename(archive, target);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}

async function compile(output: string, signal: AbortSignal): Promise<void> {
  const warnings = ['-Wall', '-Wextra', '-Wconversion', '-Werror'];
  await run(['cc', '-O2', '-static', '-s', ...warnings, '-o', output, ...SOURCES], {}, signal);
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
