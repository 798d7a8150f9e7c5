import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtempDisposable,
  readdir,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { inProject, LabError } from '../core/project.ts';
import { run } from '../core/run-command.ts';
import type { LabNode } from '../node/lab-node.ts';
import {
  compileInit,
  copyModules,
  isNewer,
  newestCloudKernel,
  packInitramfs,
} from './initramfs.ts';

const SOURCES = ['agent-guest.c', 'demo-network.c', 'guest-deeds.c', 'power-button.c'].map((name) =>
  inProject(`native/guest/${name}`),
);
const OUTPUT = inProject('build/guest');
const PACKAGE = 'qemu-guest-agent';

const MODULES = [
  'drivers/acpi/button.ko',
  'drivers/input/evdev.ko',
  'drivers/virtio/virtio.ko',
  'drivers/virtio/virtio_ring.ko',
  'drivers/virtio/virtio_pci_legacy_dev.ko',
  'drivers/virtio/virtio_pci_modern_dev.ko',
  'drivers/virtio/virtio_pci.ko',
  'drivers/virtio/virtio_balloon.ko',
  'drivers/virtio/virtio_mem.ko',
  'drivers/char/virtio_console.ko',
  'drivers/block/virtio_blk.ko',
  'drivers/scsi/scsi_common.ko',
  'drivers/scsi/scsi_mod.ko',
  'drivers/scsi/virtio_scsi.ko',
  'drivers/cdrom/cdrom.ko',
  'drivers/scsi/sr_mod.ko',
  'net/core/failover.ko',
  'drivers/net/net_failover.ko',
  'drivers/net/virtio_net.ko',
];

/** Programs of this machine that are there to be run by a guest agent. */
const PROGRAMS = ['sh', 'cat', 'head', 'sleep', 'date', 'sync'];

/** What qemu-ga hands on to: it only notes what it was given, or does nothing. */
const SCRIPTS: Readonly<Record<string, string>> = {
  chpasswd: '#!/bin/sh\necho "options=$*" >>/run/passwords\nexec cat >>/run/passwords\n',
  hwclock: '#!/bin/sh\nexit 0\n',
};

const FOLDERS = [
  'proc',
  'sys',
  'dev',
  'run',
  'data',
  'tmp',
  'etc',
  'bin',
  'lib64',
  'usr/bin',
  'usr/sbin',
  'sbin',
];

/** How its guest agent behaves; see native/guest/agent-guest.c. */
export type AgentMode = 'real' | 'none' | 'silent' | 'mute' | 'liar' | 'flood' | 'garbage';

/** What a VM boots to be a guest with a guest agent. */
export interface AgentGuest {
  readonly kernelPath: string;
  readonly initrdPath: string;
  readonly commandLine: (mode: AgentMode) => string;
}

/** Builds the guest's initramfs for the newest cloud kernel in /boot, unless it is there and current. */
export async function ensureAgentGuest(signal: AbortSignal): Promise<AgentGuest> {
  const release = await newestCloudKernel();
  const initrdPath = path.join(OUTPUT, `agent-${release}.cpio`);
  const isCurrent = await Promise.all(
    [...SOURCES, import.meta.filename].map((source) => isNewer(initrdPath, source)),
  );
  if (!isCurrent.every(Boolean)) await buildInitramfs(release, initrdPath, signal);
  return {
    kernelPath: `/boot/vmlinuz-${release}`,
    initrdPath,
    commandLine: (mode) => `console=ttyS0 quiet mitigations=off edd=off agent.mode=${mode}`,
  };
}

/** Where manifests that are written by hand find it, on a node of a lab. */
const FOLDER = 'run/guest';

/** Gives a node the guest, as /run/guest/vmlinuz and /run/guest/initrd. */
export async function layOutAgentGuest(
  node: Pick<LabNode, 'outside'>,
  { kernelPath, initrdPath }: AgentGuest,
): Promise<void> {
  const folder = node.outside(FOLDER);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  for (const [name, target] of [
    ['vmlinuz', kernelPath],
    ['initrd', initrdPath],
  ] as const) {
    await rm(path.join(folder, name), { force: true });
    await symlink(target, path.join(folder, name));
  }
}

async function buildInitramfs(release: string, target: string, signal: AbortSignal): Promise<void> {
  await mkdir(OUTPUT, { recursive: true });
  await using root = await mkdtempDisposable(path.join(OUTPUT, 'agent-root-'));
  const inRoot = (name: string): string => path.join(root.path, name);
  for (const folder of FOLDERS) await mkdir(inRoot(folder), { recursive: true });
  await compileInit(SOURCES, root.path, signal);
  await copyModules(release, MODULES, root.path, signal);
  await copyFile(await ensureAgent(signal), inRoot('usr/sbin/qemu-ga'));
  for (const program of PROGRAMS)
    await copyFile(`/usr/bin/${program}`, inRoot(`usr/bin/${program}`));
  await copyFile('/usr/bin/sh', inRoot('bin/sh'));
  for (const [name, text] of Object.entries(SCRIPTS)) {
    await writeFile(inRoot(`usr/sbin/${name}`), text, { mode: 0o755 });
    await copyFile(inRoot(`usr/sbin/${name}`), inRoot(`sbin/${name}`));
  }
  await copyLibraries(
    root.path,
    ['usr/sbin/qemu-ga', ...PROGRAMS.map((name) => `usr/bin/${name}`)],
    signal,
  );
  const os =
    'ID=agent-guest\nNAME="Agent guest"\nPRETTY_NAME="A guest with a guest agent"\nVERSION_ID=1\n';
  await writeFile(inRoot('etc/os-release'), os);
  await packInitramfs(root.path, target, signal);
}

/** qemu-ga of the Debian that this machine is, from its own mirrors; kept once it is there. */
async function ensureAgent(signal: AbortSignal): Promise<string> {
  const installed = '/usr/sbin/qemu-ga';
  if (existsSync(installed)) return installed;
  const kept = path.join(OUTPUT, 'qemu-ga');
  if (existsSync(kept)) return kept;
  await using work = await mkdtempDisposable(path.join(OUTPUT, 'agent-package-'));
  // As another user apt could not write here.
  await chmod(work.path, 0o777);
  await run(['apt-get', '-qq', 'download', PACKAGE], { cwd: work.path }, signal);
  const [file] = (await readdir(work.path)).filter((name) => name.endsWith('.deb'));
  if (file === undefined) throw new LabError(`apt-get has not downloaded ${PACKAGE}`);
  await run(['dpkg', '--extract', file, '.'], { cwd: work.path }, signal);
  await rename(path.join(work.path, 'usr/sbin/qemu-ga'), kept);
  return kept;
}

/** What these programs need, from where this machine has it. */
async function copyLibraries(
  root: string,
  programs: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  for (const program of programs) {
    const listed = await run(['ldd', path.join(root, program)], {}, signal);
    for (const [, library = ''] of listed.matchAll(/(\/\S+)\s\(0x/g)) {
      const target = path.join(root, library);
      await mkdir(path.dirname(target), { recursive: true });
      await copyFile(library, target);
    }
  }
}
