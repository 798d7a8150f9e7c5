import type { Machine } from '../../core/resources/machine.ts';
import { amountInMib, amountsOf } from '../node/amounts.ts';
import type { Amounts } from '../node/node.ts';
import { MACHINE, type SpecViolation } from './file-violations.ts';

/** That this node has not as many huge pages as a machine is to be made of, be they used or not. */
export function hugepageViolations(machine: Machine, capacity: Amounts): readonly SpecViolation[] {
  const size = machine.memory?.hugepages;
  if (size === undefined) return [];
  const resource = `hugepages-${size}`;
  const [wanted, there] = [amountsOf(machine)[resource] ?? 0, capacity[resource] ?? 0];
  if (wanted <= there) return [];
  const has = there === 0 ? 'none' : `${amountInMib(there, 'down')} in all`;
  const description = `needs ${amountInMib(wanted, 'up')} in pages of ${size}, of which this node has ${has}; reserve them there when it boots (hugepagesz= and hugepages= on its kernel's command line) and restart the agent, choose another node, or leave it out`;
  return [{ field: `${MACHINE}.memory.hugepages`, description, reason: 'NODE_CAPACITY_EXCEEDED' }];
}
