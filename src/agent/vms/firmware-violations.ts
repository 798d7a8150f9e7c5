import type { Machine } from '../../core/resources/machine.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import { MACHINE, type SpecViolation } from './file-violations.ts';

/** What of a machine's firmware this node does not have. */
export async function firmwareViolations(
  { firmware }: Machine,
  host: Pick<HypervisorHost, 'findFirmwareProblems'>,
  signal: AbortSignal,
): Promise<readonly SpecViolation[]> {
  if (firmware === undefined) return [];
  const problems = await host.findFirmwareProblems(firmware, signal);
  return problems.map(({ part, description }) => ({
    field: `${MACHINE}.firmware.${part}`,
    description,
    reason: 'FEATURE_NOT_SUPPORTED',
  }));
}
