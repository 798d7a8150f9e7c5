import { type AgentMode, ensureAgentGuest } from '../../../lab/guest/agent-guest.ts';
import type { Machine } from '../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import type { Hypervisor } from '../../../src/drivers/hypervisor.ts';
import { waitFor } from './private-libvirt.ts';

const never = new AbortController().signal;

/** What a VM boots to be a guest whose agent behaves in this way. */
export async function agentKernel(mode: AgentMode): Promise<NonNullable<Machine['kernel']>> {
  const { kernelPath, initrdPath, commandLine } = await ensureAgentGuest(never);
  return { path: kernelPath, initrd: initrdPath, commandLine: commandLine(mode) };
}

/** Starts it, and waits until something has opened its port for a guest agent. */
export async function bootGuest({ domains }: Hypervisor, vm: VmDefinition): Promise<void> {
  await domains.define(vm, never);
  await domains.start(vm.uid, never);
  await waitFor(
    'the guest agent is connected',
    async () => (await domains.find(vm.uid, never))?.guestAgent === 'connected',
  );
}
