import type { Command } from 'commander';
import type { Operation } from '../../../client/api.ts';
import type { VmRefInput } from '../../../client/vm-calls.ts';
import { type NamespaceOptions, problemOf, vmRef } from '../../input/vm-ref.ts';

export interface VmFilterOptions extends NamespaceOptions {
  readonly vm?: string;
}

/** The options that choose operations by their VM. */
export function addVmFilterOptions(command: Command): Command {
  return command
    .option('--vm <vm>', 'only those of this VM, NAME or NAMESPACE/NAME')
    .option('-n, --namespace <namespace>', 'only those of VMs of this namespace');
}

/** What the agent is asked for, and what is left of that. */
export function vmFilter(command: Command, options: VmFilterOptions) {
  const { vm, namespace } = options;
  const problem = vm === undefined ? undefined : problemOf(vm, options);
  if (problem !== undefined) command.error(`error: ${problem}`);
  const virtualMachine: VmRefInput | undefined = vm === undefined ? undefined : vmRef(vm, options);
  const matches = (operation: Operation): boolean =>
    vm !== undefined ||
    namespace === undefined ||
    operation.virtualMachine?.namespace === namespace;
  return { virtualMachine, matches };
}
