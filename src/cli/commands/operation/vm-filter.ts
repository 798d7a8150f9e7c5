import type { Command } from 'commander';
import type { VmRefInput } from '../../../client/vm-calls.ts';
import { namespaceArgument } from '../../input/argument-parsers.ts';
import { type NamespaceOptions, problemOf, vmRef } from '../../input/vm-ref.ts';

export interface VmFilterOptions extends NamespaceOptions {
  readonly vm?: string;
}

/** The options that choose operations by their VM. */
export function addVmFilterOptions(command: Command): Command {
  return command
    .option('--vm <vm>', 'only those of this VM, NAME or NAMESPACE/NAME')
    .option(
      '-n, --namespace <namespace>',
      'only those of VMs of this namespace',
      namespaceArgument,
    );
}

/** What the agent is asked for. */
export function vmFilter(
  command: Command,
  options: VmFilterOptions,
): { readonly virtualMachine?: VmRefInput; readonly namespace?: string | undefined } {
  const { vm, namespace } = options;
  if (vm === undefined) return { namespace };
  const problem = problemOf(vm, options);
  if (problem !== undefined) command.error(`error: ${problem}`);
  return { virtualMachine: vmRef(vm, options) };
}
