import type { AgentClient } from '../../client/agent-client.ts';
import type { VirtualMachine } from '../../client/api.ts';
import type { CallOptions } from '../../client/connection.ts';
import { watchVirtualMachines } from '../../client/watches.ts';
import { AgentError } from '../../core/errors.ts';
import { formatDuration } from '../output/durations.ts';
import { phaseWord, vmDocument, vmName } from '../views/vm-view.ts';

const DEFAULT_TIMEOUT_MS = 300_000;

/** Waits until a VM has a phase. Fails with TimeoutError, VM_NOT_FOUND if it is gone, HYPERVISOR_FAILURE if it failed. */
export async function waitForPhase(
  client: AgentClient,
  vm: VirtualMachine,
  wanted: 'Running' | 'Stopped',
  { timeout = DEFAULT_TIMEOUT_MS }: { readonly timeout?: number },
  { signal }: CallOptions,
): Promise<VirtualMachine> {
  const timer = AbortSignal.timeout(timeout);
  let latest = vm;
  try {
    for await (const event of watchVirtualMachines(client, {
      signal: AbortSignal.any([signal, timer]),
      namespace: vm.metadata?.namespace,
    })) {
      if (event.type === 'synced' || event.object.metadata?.uid !== vm.metadata?.uid) continue;
      latest = event.object;
      if (event.type === 'deleted') {
        throw new AgentError('VM_NOT_FOUND', `VM ${vmName(vm)} is no longer on this node`);
      }
      const phase = phaseWord(vmDocument(latest));
      if (phase === wanted) return latest;
      if (phase === 'Failed') {
        const why = latest.status?.message || latest.status?.reason || 'the agent does not say why';
        throw new AgentError('HYPERVISOR_FAILURE', `VM ${vmName(vm)} failed: ${why}`);
      }
    }
  } catch (error) {
    if (error !== timer.reason || error === undefined) throw error;
    const phase = phaseWord(vmDocument(latest));
    throw new DOMException(
      `VM ${vmName(vm)} is still ${phase} after ${formatDuration(timeout)}`,
      'TimeoutError',
    );
  }
  return latest;
}
