import { connectionUri, expectedSockets } from '../../core/libvirt-socket.ts';
import type { AgentSettings } from './agent-settings.ts';
import { type Finding, failure, ok, skipped, warning } from './check.ts';
import type { Host } from './host.ts';

type Process = Awaited<ReturnType<Host['listProcesses']>>[number];

const VIRTQEMUD_SOCKET = '/run/libvirt/virtqemud-sock';
const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const SHOWN = 5;

/** Whether there is one libvirt for all VMs of this host. What another one runs, nobody here counts. */
export async function checkOtherHypervisors(
  host: Host,
  { hypervisor }: AgentSettings,
  signal: AbortSignal,
): Promise<Finding> {
  const processes = await host.listProcesses();
  if (await hasBothDaemons(host, processes)) return judgeBothDaemons(hypervisor);
  const qemus = processes.filter(isGuest);
  if (qemus.length === 0) return ok('No other VMs run on this host');
  const words = ['-c', connectionUri(hypervisor), 'list', '--uuid'];
  const known = await host.run('virsh', words, signal);
  if (known === undefined) return skipped('virsh is not installed');
  if (known.code !== 0) return skipped('libvirt does not answer');
  const others = qemus.filter((each) => !known.stdout.includes(uidOf(each) ?? '?'));
  if (others.length === 0)
    return ok("All VMs that run on this host are those of the agent's libvirt");
  const shown = others.slice(0, SHOWN).map(describe).join(', ');
  const more = others.length > SHOWN ? ` and ${others.length - SHOWN} more` : '';
  return warning(
    `VMs run that the agent's libvirt does not have: ${shown}${more}; their memory counts as free`,
    'Stop them, or add their memory to capacity.reservedMemoryBytes; ps -fp PID shows what each is',
  );
}

/** The socket of virtqemud is there without it: systemd starts it for whoever connects. */
async function hasBothDaemons(host: Host, processes: readonly Process[]): Promise<boolean> {
  if (!processes.some((each) => isDaemon(each, 'libvirtd'))) return false;
  if (processes.some((each) => isDaemon(each, 'virtqemud'))) return true;
  return (await host.findInfo(VIRTQEMUD_SOCKET))?.kind === 'socket';
}

/** The later of the two ends at once, as the other has locked the folder of the VMs; who has connected to it gets nowhere. */
function judgeBothDaemons(hypervisor: AgentSettings['hypervisor']): Finding {
  const detail =
    'Both libvirtd and virtqemud are set up, and only one of them can have the VMs of this host';
  const fix =
    'Keep the one that has them, and switch off the other: systemctl disable --now virtqemud.socket virtqemud.service (or libvirtd.socket libvirtd.service); VMs go on. Let the other one, if you change to it, have the same host_uuid';
  const isNamed = !expectedSockets(hypervisor).includes(VIRTQEMUD_SOCKET);
  if (isNamed) return warning(`${detail}; the agent goes where it is told to`, fix);
  return failure(`${detail}; the agent, as virsh does, goes to virtqemud`, fix);
}

function isDaemon({ words: [program = ''], ownerId }: Process, name: string): boolean {
  return ownerId === 0 && program.split('/').at(-1) === name;
}

function isGuest({ words: [program = '', ...rest] }: Process): boolean {
  return /(^|\/)(qemu-system-\w+|qemu-kvm)$/.test(program) && rest.includes('-name');
}

/** libvirt names each by it. */
function uidOf({ words }: Process): string | undefined {
  const uid = words[words.indexOf('-uuid') + 1];
  return uid !== undefined && UID.test(uid) ? uid : undefined;
}

function describe({ pid, ownerId, words, cgroup }: Process): string {
  const name = /guest=([^,]+)|^([^,]+)/.exec(words[words.indexOf('-name') + 1] ?? '');
  const where = cgroup.includes('kubepods') ? ', in a pod, as those of KubeVirt' : '';
  return `${name?.[1] ?? name?.[2] ?? 'unnamed'} (pid ${pid} of user ${ownerId}${where})`;
}
