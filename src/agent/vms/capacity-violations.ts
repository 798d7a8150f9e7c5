import type { Machine } from '../../core/resources/machine.ts';
import { vcpusOf } from '../../core/resources/machine-amounts.ts';
import { amountInMib, amountsOf, DEDICATED_CPUS } from '../node/amounts.ts';
import type { Amounts } from '../node/node.ts';
import { MACHINE, type SpecViolation } from './file-violations.ts';

/** What a machine is to have for itself and this node has not as much of, be it used or not. */
export function capacityViolations(machine: Machine, capacity: Amounts): readonly SpecViolation[] {
  return [...hugepageViolations(machine, capacity), ...dedicatedViolations(machine, capacity)];
}

export function dedicatedViolations(machine: Machine, capacity: Amounts): readonly SpecViolation[] {
  if (machine.cpu?.dedicated !== true) return [];
  const [wanted, there] = [vcpusOf(machine), capacity[DEDICATED_CPUS] ?? 0];
  if (wanted <= there) return [];
  const description = `needs ${wanted} CPUs for the VM alone, and this node sets ${there === 0 ? 'none' : there} apart; name more there (cpu.dedicated in the agent's configuration), choose another node, or leave it out`;
  const [field, resource] = [`${MACHINE}.cpu.dedicated`, DEDICATED_CPUS];
  return [{ field, description, reason: 'NODE_CAPACITY_EXCEEDED', resource }];
}

function hugepageViolations(machine: Machine, capacity: Amounts): readonly SpecViolation[] {
  const size = machine.memory?.hugepages;
  if (size === undefined) return [];
  const resource = `hugepages-${size}`;
  const [wanted, there] = [amountsOf(machine)[resource] ?? 0, capacity[resource] ?? 0];
  if (wanted <= there) return [];
  const has = there === 0 ? 'none' : `${amountInMib(there, 'down')} in all`;
  const description = `needs ${amountInMib(wanted, 'up')} in pages of ${size}, of which this node has ${has}; reserve them there when it boots (hugepagesz= and hugepages= on its kernel's command line) and restart the agent, choose another node, or leave it out`;
  const field = `${MACHINE}.memory.hugepages`;
  return [{ field, description, reason: 'NODE_CAPACITY_EXCEEDED', resource }];
}
