import type { Machine } from '../../core/resources/machine.ts';
import type { Accelerator, HypervisorHost } from '../../drivers/hypervisor-host.ts';
import { MACHINE, type SpecViolation } from './file-violations.ts';

/** What of the kind of CPU that a machine asks for this node cannot give it. */
export async function cpuViolations(
  { cpu }: Machine,
  host: Pick<HypervisorHost, 'findModelProblem'>,
  accelerator: Accelerator | undefined,
  signal: AbortSignal,
): Promise<readonly SpecViolation[]> {
  const { model, features = [] } = cpu ?? {};
  // Not known yet, it says nothing of a model.
  if ((model === undefined && features.length === 0) || accelerator === undefined) return [];
  const problem = await host.findModelProblem({ model, features }, accelerator, signal);
  if (problem === undefined) return [];
  const { part, description: why } = problem;
  const what =
    part === 'features'
      ? `is ${features.join(', ')}, which this node cannot give a VM: ${why}; take out what is lacking`
      : model === undefined
        ? `is left to this node, which cannot give a VM its own with these features: ${why}; name one (virsh cpu-models x86_64 lists those that libvirt knows)`
        : `is ${model}, which this node cannot give a VM: ${why}; choose another model (virsh cpu-models x86_64 lists those that libvirt knows)`;
  const without = part === 'model' && model !== undefined ? ', or leave it out' : '';
  const description = `${what} or choose another node${without}`;
  return [{ field: `${MACHINE}.cpu.${part}`, description, reason: 'CPU_INCOMPATIBLE' }];
}
