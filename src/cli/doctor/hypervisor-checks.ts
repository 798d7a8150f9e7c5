import path from 'node:path';
import { KVM_FINDING_FILE, kvmFindingSchema } from '../../core/kvm-finding.ts';
import {
  connectionUri,
  expectedSockets,
  LIBVIRT_SOCKETS,
  libvirtSocketsIn,
  SYSTEM_URI,
} from '../../core/libvirt-socket.ts';
import type * as z from '../../core/zod.ts';
import type { AgentSettings } from './agent-settings.ts';
import { type Finding, failure, ok, skipped, warning } from './check.ts';
import { errorCode, type Host } from './host.ts';

const START =
  'Start libvirt: systemctl enable --now virtqemud.socket (or libvirtd.socket, where there is no virtqemud)';

export async function checkLibvirtSocket(
  host: Host,
  { hypervisor }: AgentSettings,
  signal: AbortSignal,
): Promise<Finding> {
  const expected = expectedSockets(hypervisor);
  const socket = await firstSocket(host, expected);
  if (socket === undefined) return missingSocket(host, expected, hypervisor);
  try {
    await host.connectUnix(socket, signal);
  } catch (error) {
    signal.throwIfAborted();
    return failure(`${socket} cannot be opened (${errorCode(error)})`, START);
  }
  return ok(`${socket} answers`);
}

async function missingSocket(
  host: Host,
  expected: readonly string[],
  { libvirtSocket, uri }: AgentSettings['hypervisor'],
): Promise<Finding> {
  const others = [
    ...LIBVIRT_SOCKETS,
    ...libvirtSocketsIn((await host.findText('/proc/net/unix')) ?? ''),
  ].filter((path) => !expected.includes(path));
  const elsewhere = await firstSocket(host, others);
  const named = libvirtSocket === 'auto' ? 'hypervisor.uri' : 'hypervisor.libvirtSocket';
  const missing =
    expected.length === 1
      ? `${expected[0]}, which ${named} names, is no socket`
      : `None of ${expected.join(', ')} is a socket`;
  if (elsewhere === undefined && !(await isInstalled(host))) {
    return failure(
      `${missing}, and libvirt is not installed here: there is neither ${DAEMONS.join(' nor ')}`,
      'Install it (Debian: apt install libvirt-daemon-system; Fedora and the like: dnf install libvirt-daemon-kvm); in a container, mount /run/libvirt of the host',
    );
  }
  if (elsewhere === undefined) {
    const other = 'Where it has its socket elsewhere, set hypervisor.libvirtSocket to that';
    return failure(missing, `${START}. ${other}`);
  }
  const setting =
    libvirtSocket === 'auto' && uri !== SYSTEM_URI
      ? `Correct hypervisor.uri, or leave it out and set hypervisor.libvirtSocket: ${elsewhere}`
      : `Set hypervisor.libvirtSocket: ${elsewhere}`;
  return failure(
    `${missing}, but libvirt is at ${elsewhere}`,
    `${setting}, then: systemctl restart novacron-agent`,
  );
}

const DAEMONS = ['/usr/sbin/virtqemud', '/usr/sbin/libvirtd'] as const;

async function isInstalled(host: Host): Promise<boolean> {
  const found = await Promise.all(DAEMONS.map((file) => host.findInfo(file)));
  return found.some((each) => each !== undefined);
}

async function firstSocket(host: Host, paths: readonly string[]): Promise<string | undefined> {
  for (const path of paths) if ((await host.findInfo(path))?.kind === 'socket') return path;
  return undefined;
}

export async function checkLibvirtVersion(
  host: Host,
  { hypervisor }: AgentSettings,
  signal: AbortSignal,
): Promise<Finding> {
  const uri = connectionUri(hypervisor);
  const result = await host.run('virsh', ['-c', uri, 'version', '--daemon'], signal);
  if (result === undefined) return skipped('virsh is not installed');
  const version = /Running against daemon: (\S+)/.exec(result.stdout)?.[1];
  if (result.code !== 0 || version === undefined) {
    return {
      ...failure(
        `libvirt does not answer at ${uri}`,
        `Look at its log (journalctl -u virtqemud -u libvirtd) and try: virsh -c '${uri}' version`,
      ),
      follows: {
        from: ['libvirt socket', 'other hypervisors'],
        detail: 'libvirt cannot be asked for its version',
      },
    };
  }
  return ok(`libvirt ${version}`);
}

const QEMU_BY_ARCHITECTURE: Readonly<Record<string, string>> = {
  x64: 'qemu-system-x86_64',
  arm64: 'qemu-system-aarch64',
};

export async function checkQemu(
  host: Host,
  { hypervisor }: AgentSettings,
  architecture: string,
  signal: AbortSignal,
): Promise<Finding> {
  const program = QEMU_BY_ARCHITECTURE[architecture];
  if (program === undefined) return skipped(`No QEMU is known for ${architecture}`);
  // Enterprise Linux has it outside the path.
  const candidates = [program, `/usr/bin/${program}`, '/usr/libexec/qemu-kvm'];
  for (const candidate of candidates) {
    const result = await host.run(candidate, ['--version'], signal);
    const version = /version (\d+)\.(\d+)\.(\d+)/.exec(result?.stdout ?? '');
    if (result === undefined || version === null) continue;
    const [, major = '', minor, patch] = version;
    const text = `${candidate} ${major}.${minor}.${patch}`;
    const usesTcg = hypervisor.accelerator === 'tcg' || !(await canUseKvm(host));
    if (usesTcg && Number(major) < 9) {
      return warning(
        `${text}, without KVM: QEMU before 9.0 can lose memory of a busy guest when it migrates`,
        'Give the machine KVM, or install QEMU 9.0 or newer',
      );
    }
    return ok(text);
  }
  return failure(
    `${program} is not installed`,
    `Install QEMU (Debian: apt install qemu-system-x86)`,
  );
}

export async function checkKvm(
  host: Host,
  { hypervisor, stateDirectory }: AgentSettings,
): Promise<Finding> {
  if (hypervisor.accelerator === 'tcg') return skipped('The agent is configured for tcg');
  const bad = hypervisor.accelerator === 'kvm' ? failure : warning;
  if ((await host.findInfo('/dev/kvm')) === undefined) {
    return bad(
      '/dev/kvm does not exist, VMs are emulated and slow',
      'Switch on virtualization in the firmware (or nested virtualization), then: modprobe kvm_intel or kvm_amd',
    );
  }
  try {
    await host.openReadWrite('/dev/kvm');
  } catch (error) {
    return bad(
      `/dev/kvm cannot be opened (${errorCode(error)})`,
      'In a container give it the device and the right to use it; on a host run doctor as root',
    );
  }
  const tried = await findBoot(host, stateDirectory);
  if (tried === undefined) {
    return ok('/dev/kvm can be opened; whether a guest boots with it, the agent finds out');
  }
  if (tried.boots)
    return ok('Guests boot with it, as the agent has found out since the host booted');
  return bad(
    `/dev/kvm can be opened, and no guest boots with it: ${tried.why}`,
    "Switch on nested virtualization for this machine and look at the kernel's log: dmesg | grep -i kvm; if emulation is meant, set hypervisor.accelerator to tcg",
  );
}

/** What the agent has found, unless that was before the host booted. */
async function findBoot(
  host: Host,
  stateDirectory: string,
): Promise<z.infer<typeof kvmFindingSchema> | undefined> {
  const text = await host.findText(path.join(stateDirectory, KVM_FINDING_FILE));
  const bootId = await host.findText('/proc/sys/kernel/random/boot_id');
  try {
    const found = kvmFindingSchema.parse(JSON.parse(text ?? ''));
    return found.key.split('\n')[0] === bootId?.trim() ? found : undefined;
  } catch {
    return undefined;
  }
}

async function canUseKvm(host: Host): Promise<boolean> {
  try {
    await host.openReadWrite('/dev/kvm');
    return true;
  } catch {
    return false;
  }
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** What boards carry whose maker did not care; two such hosts cannot migrate to each other. */
const WORTHLESS_UUIDS = [
  '03000200-0400-0500-0006-000700080009',
  '00000000-0000-0000-0000-000000000000',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
];

const UUID_FILES = ['/etc/libvirt/virtqemud.conf', '/etc/libvirt/libvirtd.conf'] as const;
const NEW_UUID =
  'Set host_uuid = "…" (from /proc/sys/kernel/random/uuid, another on every node) in /etc/libvirt/libvirtd.conf or virtqemud.conf, then restart libvirt';

/** libvirt takes the host's UUID from the configuration of the daemon that runs, else from the firmware. */
export async function checkHostUuid(
  host: Host,
  { hypervisor }: AgentSettings,
  signal: AbortSignal,
): Promise<Finding> {
  const words = ['-c', connectionUri(hypervisor), 'capabilities'];
  const answer = await host.run('virsh', words, signal);
  const inUse = /<host>\s*<uuid>([^<]+)/.exec(answer?.stdout ?? '')?.[1]?.toLowerCase();
  const configured = await findConfiguredUuid(host);
  if (inUse !== undefined && configured !== undefined && inUse !== configured.uuid) {
    return warning(
      `libvirt has ${inUse}, and ${configured.file} has ${configured.uuid}: with that VMs of this host would count as another's`,
      `If this host has VMs: set host_uuid = "${inUse}" there and for each daemon of libvirt. If it has none: restart libvirt; a daemon reads its own file only`,
    );
  }
  if (inUse !== undefined && !isUsable(inUse)) return failure(`libvirt has ${inUse}`, NEW_UUID);
  if (configured !== undefined) {
    const { file, uuid } = configured;
    return isUsable(uuid) ? ok(`${uuid}, from ${file}`) : failure(`${file} has ${uuid}`, NEW_UUID);
  }
  const firmware = (await host.findText('/sys/class/dmi/id/product_uuid'))?.trim().toLowerCase();
  if (firmware !== undefined && isUsable(firmware)) return ok(`${firmware}, from the firmware`);
  const detail =
    firmware === undefined ? 'The firmware has no UUID' : `The firmware has ${firmware}`;
  return failure(`${detail}, and libvirt's configuration sets none`, NEW_UUID);
}

async function findConfiguredUuid(
  host: Host,
): Promise<{ readonly file: string; readonly uuid: string } | undefined> {
  for (const file of UUID_FILES) {
    const text = (await host.findText(file)) ?? '';
    const uuid = /^\s*host_uuid\s*=\s*["']([^"']*)["']/m.exec(text)?.[1]?.toLowerCase();
    if (uuid !== undefined) return { file, uuid };
  }
  return undefined;
}

function isUsable(uuid: string): boolean {
  return UUID.test(uuid) && !WORTHLESS_UUIDS.includes(uuid);
}
