import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../core/run-command.ts';

export const PACKAGE_NAME = 'novacron-agent';

/** What the agent and novactl call, or load, while they run. */
const CALLED = [
  'libvirt0 (>= 9.0)',
  'libvirt-daemon-system (>= 9.0)',
  'libvirt-clients',
  'qemu-system-x86 (>= 1:7.2)',
  'qemu-utils',
  'openssl',
  // To fetch images, and to convert them where nothing else can be read.
  'curl',
  'ca-certificates',
  'bubblewrap',
];

export interface PackageFacts {
  readonly version: string;
  readonly architecture: string;
  readonly installedKiB: number;
  /** What the programs in it are linked to, as dpkg-shlibdeps says it. */
  readonly libraries: string;
}

export function renderControl({
  version,
  architecture,
  installedKiB,
  libraries,
}: PackageFacts): string {
  return `Package: ${PACKAGE_NAME}
Version: ${version}
Architecture: ${architecture}
Maintainer: NovaCron <novacron@novacron.io>
Installed-Size: ${installedKiB}
Depends: ${[libraries, ...CALLED].join(', ')}
Recommends: ovmf, swtpm, swtpm-tools
Section: admin
Priority: optional
Homepage: https://novacron.io
Description: runs virtual machines on this node's own libvirt and QEMU
 One agent per node creates VMs, watches them, moves them live to other nodes
 and answers to a control plane over gRPC with mutual TLS. VMs are libvirt's:
 they run on while the agent is upgraded, stopped or removed.
 .
 With it come novactl, which shows and does the same on the node itself, and
 the Node.js that both run on.
`;
}

/** The packages of the libraries that programs are linked to, with the versions that they need. */
export async function findLibraries(
  programs: readonly string[],
  folder: string,
  signal: AbortSignal,
): Promise<string> {
  // Without a source package it asks for nothing else.
  await mkdir(path.join(folder, 'debian'), { recursive: true });
  await writeFile(
    path.join(folder, 'debian/control'),
    `Source: ${PACKAGE_NAME}\n\nPackage: ${PACKAGE_NAME}\nArchitecture: any\n`,
  );
  const command = ['dpkg-shlibdeps', '-O', ...programs.map((program) => `-e${program}`)];
  const said = await run(command, { cwd: folder }, signal);
  const depends = /^shlibs:Depends=(.*)$/m.exec(said)?.[1];
  if (depends === undefined) throw new Error(`dpkg-shlibdeps said nothing of use:\n${said}`);
  return depends;
}
