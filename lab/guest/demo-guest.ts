import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { inProject } from '../core/project.ts';
import {
  compileInit,
  copyModules,
  isNewer,
  newestCloudKernel,
  packInitramfs,
} from './initramfs.ts';

const SOURCES = ['demo-guest.c', 'demo-network.c', 'power-button.c'].map((name) =>
  inProject(`native/guest/${name}`),
);
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

async function buildInitramfs(release: string, target: string, signal: AbortSignal): Promise<void> {
  await mkdir(OUTPUT, { recursive: true });
  const root = await mkdtemp(path.join(OUTPUT, 'root-'));
  try {
    await compileInit(SOURCES, root, signal);
    await copyModules(release, MODULES, root, signal);
    await packInitramfs(root, target, signal);
  } finally {
    await rm(root, { recursive: true, force: true });
  }
}
