import type { Command } from 'commander';
import { AgentError } from '../../../core/errors.ts';
import {
  addConnectionOptions,
  connectionOptions,
  connectionWords,
  withAgent,
} from '../../connection/agent-connection.ts';
import { errorReport } from '../../errors/error-report.ts';
import { addChangeOptions, type ChangeOptions } from '../../input/change-options.ts';
import type { EditableVm } from '../../input/edited-manifest.ts';
import type { EditedText } from '../../input/manifest-editor.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../input/vm-ref.ts';
import { type CliIo, writeBegun } from '../../process/cli-io.ts';
import { Exit, exitCodeOf } from '../../process/exit-codes.ts';
import type { Changer } from '../../progress/change.ts';

interface EditOptions extends NamespaceOptions, ChangeOptions {}

export function addVmEditCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('edit')
    .summary('change a VM in an editor')
    .description(
      'Opens the manifest of a VM in $VISUAL, $EDITOR or vi, and applies what was saved, if nobody has changed the VM ' +
        'meanwhile. A manifest that is left as it was changes nothing. An edit that is refused is kept in a file.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME');
  addChangeOptions(command);
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm edit web
  EDITOR=nano novactl vm edit shop/web
`,
  );
  command.action(async (name: string, options: EditOptions) => {
    const { editableVm, isUnchanged } = await import('../../input/edited-manifest.ts');
    const { editText } = await import('../../input/manifest-editor.ts');
    await withAgent(io, command, async (client, call) => {
      const vm = editableVm(await client.vms.get(vmRef(name, options), call));
      const edited = await editText(io, `${vm.name}.yaml`, vm.text);
      if (isUnchanged(vm, edited)) {
        io.stdout.write(`VM ${vm.namespace}/${vm.name} unchanged\n`);
      } else {
        try {
          await applyEdit({ io, command, client, options }, vm, edited);
        } catch (error) {
          if (!(error instanceof AgentError)) throw error;
          io.stderr.write(errorReport(error));
          io.stderr.write(kept(error, vm, edited, connectionWords(connectionOptions(command))));
          throw new Exit(exitCodeOf(error));
        }
      }
      await edited.discard();
    });
  });
}

async function applyEdit(changer: Changer, vm: EditableVm, edited: EditedText): Promise<void> {
  const { io, command, client, options } = changer;
  const { readEdited } = await import('../../input/edited-manifest.ts');
  const { change } = await import('../../progress/change.ts');
  const { applyText, readApplyResponse } = await import('../../views/apply-result.ts');
  const input = readEdited(vm, edited);
  const { generation, namespace, name, uid } = vm;
  const call = { signal: io.signal, deadlineMs: connectionOptions(command).requestTimeout };
  const { answer, operation } = await change(changer, (operationId) =>
    client.vms.apply(input, { ...call, generation, operationId }),
  );
  for (const warning of operation.warnings) {
    io.stderr.write(`Warning: VM ${namespace}/${name}: ${warning}\n`);
  }
  if (!options.wait) {
    writeBegun(io, `${operation.id}\n`);
    return;
  }
  const now = await client.vms.get({ namespace, name, uid }, call);
  const done = { vm: now, outcome: operation.result };
  io.stdout.write(applyText(readApplyResponse(answer, done), { dryRun: false }));
}

/** Where an edit is that was not applied, and what to do with it. */
function kept(error: AgentError, vm: EditableVm, { file }: EditedText, chosen: string): string {
  const { namespace, name, generation } = vm;
  const way =
    error.reason === 'GENERATION_MISMATCH'
      ? `To make it on the VM as it is now:\n  novactl vm edit ${namespace}/${name}${chosen}`
      : `Once it is right, apply it with:\n  novactl vm apply -f ${file} --generation ${generation}${chosen}`;
  return `The edit is kept in ${file}. ${way}\n`;
}
