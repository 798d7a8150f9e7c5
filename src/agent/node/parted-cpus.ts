import { formatCpuList, parseCpuList } from '../../core/cpu-list.ts';
import { AgentError } from '../../core/errors.ts';

/** CPUs of a node that only VMs with CPUs of their own run on, and those that are left to all else. */
export interface PartedCpus {
  readonly dedicated: readonly number[];
  readonly shared: readonly number[];
}

/**
 * How the CPUs that are online are parted by a list of those that are set apart; undefined if it is empty. Fails with INVALID_CONFIG if they
 * are not all there, or no others are.
 */
export function partedCpus(list: string, online: readonly number[]): PartedCpus | undefined {
  const dedicated = parseCpuList(list) ?? [];
  if (dedicated.length === 0) return undefined;
  const shared = online.filter((cpu) => !dedicated.includes(cpu));
  const missing = dedicated.filter((cpu) => !online.includes(cpu));
  if (missing.length === 0 && shared.length > 0) return { dedicated, shared };
  const why =
    missing.length > 0
      ? `names ${formatCpuList(missing)}, which this node does not have online`
      : 'leaves none for the host and the VMs that share them';
  throw new AgentError(
    'INVALID_CONFIG',
    `Cannot set CPUs apart: cpu.dedicated is ${list} and ${why}; its CPUs are ${formatCpuList(online)}`,
  );
}
