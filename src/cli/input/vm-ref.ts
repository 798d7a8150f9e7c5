import type { Command } from 'commander';
import type { VmRefInput } from '../../client/vm-calls.ts';

export interface NamespaceOptions {
  readonly namespace?: string;
}

export function addNamespaceOption(command: Command): Command {
  return command.option('-n, --namespace <namespace>', 'namespace of the VM ("default")');
}

/** The VM that `NAME` or `NAMESPACE/NAME` means; the latter is what `-o name` prints. */
export function vmRef(name: string, options: NamespaceOptions): VmRefInput {
  const [namespace, rest] = name.includes('/') ? name.split('/', 2) : [options.namespace, name];
  return { namespace: namespace ?? '', name: rest ?? '' };
}
