import type { Command } from 'commander';
import type { Operation } from '../../../client/api.ts';
import type { ChangeOptions as ChangeCall, VmCalls, VmRefInput } from '../../../client/vm-calls.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addChangeOptions, type ChangeOptions } from '../../input/change-options.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export interface VmVerbOptions extends OutputOptions, NamespaceOptions, ChangeOptions {}

/** The argument and options of commands that do something to one VM. */
export function addVmVerbOptions(command: Command): Command {
  command.argument('<vm>', 'NAME or NAMESPACE/NAME');
  addChangeOptions(command);
  addNamespaceOption(command);
  addOutputOption(command);
  return addConnectionOptions(command);
}

interface VmVerb {
  readonly ask: (
    vms: VmCalls,
    ref: VmRefInput,
    call: ChangeCall,
  ) => Promise<{ readonly operation?: Operation | undefined }>;
  /** What is said of the VM then; by the operation's result where there is more than one way to succeed. */
  readonly done: string | Readonly<Record<string, string>>;
}

/** Does something to one VM, and says so: in a sentence, or by the VM in the wanted format. */
export async function runVmVerb(
  io: CliIo,
  command: Command,
  name: string,
  options: VmVerbOptions,
  { ask, done }: VmVerb,
): Promise<void> {
  const { change } = await import('../../progress/change.ts');
  const { printItem } = await import('../../output/output.ts');
  const { operationVmName, printBegun } = await import('../../views/operation-view.ts');
  const { phaseWord, vmDocument, vmName, vmView } = await import('../../views/vm-view.ts');
  await withAgent(io, command, async (client, call) => {
    const ref = vmRef(name, options);
    const { operation } = await change({ io, command, client, options }, (operationId) =>
      ask(client.vms, ref, { ...call, operationId }),
    );
    if (!options.wait) {
      await printBegun(io, options.output, operation);
      return;
    }
    for (const warning of operation.warnings) {
      io.stderr.write(`Warning: VM ${operationVmName(operation)}: ${warning}\n`);
    }
    const vm = vmDocument(await client.vms.get(operation.virtualMachine ?? ref, call));
    const said = typeof done === 'string' ? done : (done[operation.result] ?? '');
    if (options.output === 'table') {
      io.stdout.write(`VM ${vmName(vm)} ${said} (${phaseWord(vm)})\n`);
    } else {
      await printItem(io, options.output, vmView({ nowMs: Date.now(), showNamespace: true }), vm);
    }
  });
}
