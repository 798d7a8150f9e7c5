import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import {
  chmod,
  copyFile,
  mkdir,
  mkdtempDisposable,
  readdir,
  readFile,
  rename,
  rm,
} from 'node:fs/promises';
import path from 'node:path';
import { inProject, LabError } from '../../core/project.ts';
import { run } from '../../core/run-command.ts';
import { aptSources, hostRelease } from './apt-sources.ts';

const FOLDER = inProject('build/distribution-guest');
const CUSTOMIZE = inProject('lab/guest/distribution/customize-root.sh');

/** What the root is made of, beside what every Debian has. */
const PACKAGES = [
  'ca-certificates',
  'cloud-init',
  'dbus',
  'e2fsprogs',
  'initramfs-tools',
  'iproute2',
  'libpam-systemd',
  'linux-image-cloud-amd64',
  'lz4',
  'nginx',
  'openssh-server',
  'procps',
  'qemu-guest-agent',
  'sqlite3',
  'systemd-resolved',
  'systemd-sysv',
  'udev',
];

/** What can be installed in the guest without a network; what they only recommend is left out. */
const MIRRORED = [
  'bubblewrap',
  'curl',
  'libvirt-clients',
  'libvirt-daemon-system',
  'ovmf',
  'qemu-system-x86',
  'qemu-utils',
];

/** More than anybody writes; what nobody has written takes no room. */
const DISK_SIZE = '8G';

/** A Debian that boots quickly on an emulated CPU. Its files are read-only: whoever boots it brings an overlay. */
export interface DistributionGuest {
  readonly release: string;
  readonly kernelPath: string;
  readonly initrdPath: string;
  readonly commandLine: string;
  /** A raw image that is one ext4 file system of 4 KiB blocks, without partitions. */
  readonly imagePath: string;
  /** A repository of Debian packages, for apt: a flat one, not signed. */
  readonly mirrorPath: string;
}

/** Makes the guest of a release of Debian, this machine's own if none is named, unless it is there and current. */
export async function ensureDistributionGuest(
  signal: AbortSignal,
  release?: string,
): Promise<DistributionGuest> {
  const wanted = release ?? (await hostRelease());
  if (wanted === undefined) throw new LabError('/etc/os-release names no release of Debian');
  const sources = await aptSources(wanted, signal);
  const folder = path.join(FOLDER, `${wanted}-${await keyOf(sources)}`);
  if (!existsSync(folder)) await makeAnew(folder, wanted, sources, signal);
  return {
    release: wanted,
    kernelPath: `${folder}/vmlinuz`,
    initrdPath: `${folder}/initrd`,
    // By its label, since disks of other VMs may come in another order. Mitigations protect nobody here.
    commandLine: 'root=LABEL=root ro console=ttyS0 quiet mitigations=off',
    imagePath: `${folder}/disk.raw`,
    mirrorPath: `${folder}/mirror`,
  };
}

/** Of all that it is made of: when one of it changes, the guest is made anew. */
async function keyOf(sources: readonly string[]): Promise<string> {
  const made = [sources, PACKAGES, MIRRORED, DISK_SIZE, await readFile(CUSTOMIZE, 'utf8')];
  const recipe = await readFile(import.meta.filename, 'utf8');
  return createHash('sha256')
    .update(JSON.stringify([made, recipe]))
    .digest('hex')
    .slice(0, 16);
}

async function makeAnew(
  folder: string,
  release: string,
  sources: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await mkdir(FOLDER, { recursive: true });
  await removeUnfinished();
  // Under its own name only when it is whole.
  const making = `${FOLDER}/making-${process.pid}-`;
  await using work = await mkdtempDisposable(making);
  await using root = await mkdtempDisposable(making);
  const whole = `${work.path}/whole`;
  await mkdir(`${whole}/mirror`, { recursive: true });
  await makeRoot(root.path, `${whole}/mirror`, { release, sources }, signal);
  await indexMirror(`${whole}/mirror`, signal);
  await takeBootFiles(`${root.path}/boot`, whole);
  const image = `${whole}/disk.raw`;
  const format = ['-q', '-t', 'ext4', '-b', '4096', '-L', 'root'];
  await run(['mke2fs', ...format, '-d', root.path, image, DISK_SIZE], {}, signal);
  await chmod(image, 0o444);
  for (const name of await readdir(FOLDER)) {
    if (name.startsWith(`${release}-`)) await rm(path.join(FOLDER, name), { recursive: true });
  }
  await rename(whole, folder);
}

/** What was being made by processes that were killed. */
async function removeUnfinished(): Promise<void> {
  for (const name of await readdir(FOLDER)) {
    const pid = /^making-(\d+)-/.exec(name)?.[1];
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) {
      await rm(path.join(FOLDER, name), { recursive: true });
    }
  }
}

async function makeRoot(
  root: string,
  mirror: string,
  debian: { readonly release: string; readonly sources: readonly string[] },
  signal: AbortSignal,
): Promise<void> {
  // With this machine's own apt, since names cannot be looked up from inside of the root.
  const download = `export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; apt-get -qq --yes --download-only \
    -o Dir::Cache::archives='${mirror}' install ${MIRRORED.join(' ')}`;
  const options = [
    '--mode=root',
    '--variant=apt',
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Retries "5"',
    `--include=${PACKAGES.join(',')}`,
    `--customize-hook=${download}`,
    `--customize-hook=${CUSTOMIZE}`,
  ];
  await run(['mmdebstrap', ...options, debian.release, root, ...debian.sources], {}, signal);
}

async function indexMirror(mirror: string, signal: AbortSignal): Promise<void> {
  const index = `${mirror}/Packages`;
  await run(['sh', '-c', `apt-ftparchive packages . >'${index}'`], { cwd: mirror }, signal);
}

async function takeBootFiles(boot: string, target: string): Promise<void> {
  const names = await readdir(boot);
  for (const [prefix, name] of [
    ['vmlinuz-', 'vmlinuz'],
    ['initrd.img-', 'initrd'],
  ] as const) {
    const [file, ...others] = names.filter((candidate) => candidate.startsWith(prefix));
    if (file === undefined || others.length > 0) {
      throw new LabError(`The guest's /boot has not one kernel, but ${names.join(', ')}`);
    }
    await copyFile(path.join(boot, file), path.join(target, name));
  }
}
