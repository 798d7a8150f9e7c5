import type { OperationParameters } from '../operations/operation.ts';
import type { Admission, OperationWork, StepResult } from '../operations/operation-work.ts';
import type { VmAdopter } from './vm-adopter.ts';

/** How a VM of somebody else's is taken over. */
export function adoptOperation(adopter: Pick<VmAdopter, 'adopt' | 'resume'>): OperationWork {
  return {
    firstStep: 'adopting',
    async admit({ vm, parameters }, signal): Promise<Admission> {
      const request = { domain: domainOf(parameters), vm };
      // The other nodes are asked once, under the lock.
      const options = { dryRun: true, asksNodes: false };
      const details = await adopter.adopt(request, options, signal);
      const { namespace, name, uid } = details.vm.definition;
      return { vm: { namespace, name, uid }, deed: 'adopt', details };
    },
    async step({ vm, parameters, startedAtMs }, signal): Promise<StepResult> {
      // It was nobody's when it was asked for, so it is this operation's work if it is ours by now.
      const begun = startedAtMs === undefined ? undefined : await adopter.resume(vm, signal);
      if (begun !== undefined) return { isDone: true, details: { vm: begun, warnings: [] } };
      const request = { domain: domainOf(parameters), vm };
      const details = await adopter.adopt(request, { dryRun: false }, signal);
      return { isDone: true, warnings: details.warnings, details };
    },
  };
}

function domainOf({ domain }: OperationParameters): string {
  return String(domain);
}
