import { enlightenmentsOf } from '../../core/resources/enlightenments.ts';
import type { Machine } from '../../core/resources/machine.ts';
import type { Accelerator, HypervisorHost } from '../../drivers/hypervisor-host.ts';
import { MACHINE, type SpecViolation } from './file-violations.ts';

/** What of a machine's board this node does not have. */
export async function boardViolations(
  machine: Machine,
  host: Pick<HypervisorHost, 'findMachineProblems'>,
  accelerator: Accelerator | undefined,
  signal: AbortSignal,
): Promise<readonly SpecViolation[]> {
  const { watchdog, vsock, hyperv, memory } = machine;
  if ([watchdog, vsock, hyperv, memory?.max].every((part) => part === undefined)) return [];
  const problems = await host.findMachineProblems(machine, accelerator, signal);
  return problems.map(({ field, description }) => ({
    field: `${MACHINE}.${field}`,
    description,
    reason: 'FEATURE_NOT_SUPPORTED',
  }));
}

/** What of it has no effect here, in sentences. */
export function boardNotes(
  machine: Machine,
  accelerator: Accelerator | undefined,
): readonly string[] {
  if (accelerator !== 'tcg' || (enlightenmentsOf(machine) ?? []).length === 0) return [];
  return [
    `${MACHINE}.hyperv is kept and has no effect: this node runs VMs without KVM, which alone gives them`,
  ];
}
