import type { Command } from 'commander';
import type { VmRefInput } from '../../client/vm-calls.ts';
import { DNS_LABEL, DNS_LABEL_RULE } from '../../core/dns-label.ts';
import { namespaceArgument } from './argument-parsers.ts';

export interface NamespaceOptions {
  readonly namespace?: string;
}

/** Of a command whose argument, if it has any, is a VM: one that is not clear is refused before anything is done. */
export function addNamespaceOption(command: Command): Command {
  return command
    .option('-n, --namespace <namespace>', 'namespace of the VM ("default")', namespaceArgument)
    .hook('preAction', () => {
      const [name] = command.args;
      const problem = name === undefined ? undefined : problemOf(name, command.opts());
      if (problem !== undefined) command.error(`error: ${problem}`);
    });
}

/** Why a name does not say clearly which VM is meant; undefined if it does. */
export function problemOf(name: string, { namespace }: NamespaceOptions): string | undefined {
  const parts = name.split('/');
  if (parts.length > 2 || parts.includes('')) {
    return `${JSON.stringify(name)} names no VM; write NAME or NAMESPACE/NAME`;
  }
  if (!parts.every((part) => DNS_LABEL.test(part))) {
    return `${JSON.stringify(name)} names no VM; a name is ${DNS_LABEL_RULE}`;
  }
  const [own, rest] = parts;
  if (rest === undefined || namespace === undefined || namespace === own) return undefined;
  return `the VM is in namespace ${own} by its name and in ${namespace} by -n; write ${name} without -n, or ${rest} with it`;
}

/** As people write a VM. */
export function vmWords({ namespace, name }: VmRefInput): string {
  return `${namespace || 'default'}/${name}`;
}

/** The VM that `NAME` or `NAMESPACE/NAME` means; the latter is what `-o name` prints. */
export function vmRef(name: string, options: NamespaceOptions): VmRefInput {
  const [namespace, rest] = name.includes('/') ? name.split('/') : [options.namespace, name];
  return { namespace: namespace ?? '', name: rest ?? '' };
}
