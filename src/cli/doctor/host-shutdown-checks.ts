import type { VirtualMachine } from '../../client/api.ts';
import { AgentError } from '../../core/errors.ts';
import type { AgentSettings } from './agent-settings.ts';
import { type Finding, ok, skipped, warning } from './check.ts';
import type { Host } from './host.ts';

const THEIRS = 'libvirt-guests.service';
const OURS = 'novacron-guests.service';
const GET_OURS = `Have the unit there, which the package novacron-agent brings and enables (without it: docs/host-shutdown.md), then: systemctl enable --now ${OURS}`;
/** Debian's and the Red Hat family's. */
const SETTINGS = ['/etc/default/libvirt-guests', '/etc/sysconfig/libvirt-guests'] as const;

/** Who powers off the VMs when the host goes down: one, and it must be ours. */
export async function checkHostShutdown(host: Host, signal: AbortSignal): Promise<Finding> {
  const ask = async (verb: string, unit: string) =>
    (await host.run('systemctl', [verb, unit], signal))?.stdout.trim();
  const theirs = await ask('is-enabled', THEIRS);
  if (theirs === undefined) return skipped('systemctl is not installed');
  const isMasked = theirs.startsWith('masked');
  if (!isMasked && (theirs === 'enabled' || (await ask('is-active', THEIRS)) === 'active')) {
    return warning(
      `${THEIRS} is in use: when the host goes down it ${await whatTheyDo(host)}, behind the agent's back`,
      `systemctl mask ${THEIRS}. Do not stop it: that powers off every VM (docs/host-shutdown.md)`,
    );
  }
  const state = (await ask('is-enabled', OURS)) ?? '';
  if (state !== 'enabled') {
    return warning(
      `${OURS} is not enabled: nobody asks guests to power off when the host goes down, and their power is cut`,
      state === 'disabled' ? `systemctl enable --now ${OURS}` : GET_OURS,
    );
  }
  return ok(`${OURS} powers off the VMs`);
}

async function whatTheyDo(host: Host): Promise<string> {
  const texts = await Promise.all(SETTINGS.map((path) => host.findText(path)));
  const text = texts.join('\n');
  const set = (name: string) =>
    new RegExp(`^\\s*${name}=["']?(\\w+)`, 'm').exec(text)?.[1]?.toLowerCase();
  const deeds =
    set('ON_SHUTDOWN') === 'suspend'
      ? 'saves the memory of VMs to files, and no run strategy starts a VM that is saved'
      : 'powers off VMs one after another';
  return set('ON_BOOT') === 'start' ? `${deeds}, and after the boot starts them itself` : deeds;
}

/** What libvirt starts by itself at boot, it starts before it is known which node owns it. */
export async function checkAutostart(
  host: Host,
  { hypervisor }: AgentSettings,
  listVms: () => Promise<readonly VirtualMachine[]>,
  signal: AbortSignal,
): Promise<Finding> {
  const words = ['-c', hypervisor.uri, 'list', '--all', '--autostart', '--uuid'];
  const marked = await host.run('virsh', words, signal);
  if (marked === undefined) return skipped('virsh is not installed');
  if (marked.code !== 0) return skipped('libvirt does not answer');
  const uids = marked.stdout.split('\n').filter(Boolean);
  if (uids.length === 0) return ok('libvirt starts no VM by itself');
  let vms: readonly VirtualMachine[];
  try {
    vms = await listVms();
  } catch (error) {
    if (!(error instanceof AgentError)) throw error;
    return skipped('The agent cannot say which of the VMs that libvirt starts are its own');
  }
  const ours = vms.flatMap(({ metadata }) =>
    uids.includes(metadata?.uid ?? '') ? [`${metadata?.namespace}/${metadata?.name}`] : [],
  );
  if (ours.length === 0) return ok('libvirt starts no VM of the agent by itself');
  return warning(
    `libvirt starts by itself at boot: ${ours.join(', ')}, also where another node owns them by now`,
    'virsh autostart --disable NAMESPACE_NAME for each; run strategies start VMs',
  );
}
