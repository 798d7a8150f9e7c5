import type { Command } from 'commander';
import type { VmRefInput } from '../../../client/vm-calls.ts';
import { AgentError } from '../../../core/errors.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addChangeOptions, type ChangeOptions } from '../../input/change-options.ts';
import { addManifestOptions, type ManifestOptions } from '../../input/manifest-options.ts';
import { addNamespaceOption, vmRef } from '../../input/vm-ref.ts';
import { type CliIo, writeBegun } from '../../process/cli-io.ts';

interface DeleteOptions extends Partial<ManifestOptions>, ChangeOptions {
  readonly force?: boolean;
  readonly ignoreNotFound?: boolean;
  readonly unownedCopy?: boolean;
  readonly deleteDisks?: boolean;
}

export function addVmDeleteCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('delete')
    .summary('forget stopped VMs')
    .description(
      'Forgets a stopped VM, or those that manifests name; their disk images stay, also those that were made ' +
        'for them unless --delete-disks is given. One that has moved to another ' +
        'node is refused. Of a manifest only the names count, and its uid if it has one.',
    )
    .argument('[vm]', 'NAME or NAMESPACE/NAME');
  addManifestOptions(command, { isRequired: false })
    .option('--force', 'cut the power first if it runs, and give up its memory if that is saved')
    .option('--ignore-not-found', 'a VM that is not there counts as deleted')
    .option(
      '--delete-disks',
      'also the disks that were made for it by their size, with what is on them',
    )
    .option('--unowned-copy', 'only what is left here of a VM that another node owns');
  addChangeOptions(command);
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm delete web
  novactl vm delete web --force
  novactl vm delete web --delete-disks
  novactl vm delete -f web.yaml --ignore-not-found
`,
  );
  command.action(async (name: string | undefined, options: DeleteOptions) => {
    const { filename = [], force, ignoreNotFound = false, unownedCopy, deleteDisks } = options;
    if ((name === undefined) === (filename.length === 0)) {
      command.error('error: name either one VM or manifests with -f');
    }
    const { change } = await import('../../progress/change.ts');
    const { whyNotFound } = await import('../../views/delete-result.ts');
    await withAgent(io, command, async (client, call) => {
      const deleteVm = async (ref: VmRefInput) => {
        const { operation } = await change({ io, command, client, options }, (operationId) =>
          client.vms.delete(ref, { ...call, force, unownedCopy, deleteDisks, operationId }),
        );
        const key = `${ref.namespace || 'default'}/${ref.name}`;
        const why = whyNotFound(operation);
        if (why !== undefined) {
          if (!ignoreNotFound) throw new AgentError('VM_NOT_FOUND', `VM ${key} not found: ${why}`);
          io.stdout.write(`VM ${key} not found: ${why}\n`);
          return { outcome: 'not found' };
        }
        for (const warning of operation.warnings) {
          io.stderr.write(`Warning: VM ${key}: ${warning}\n`);
        }
        if (options.wait) io.stdout.write(`VM ${key} deleted\n`);
        else writeBegun(io, `${operation.id}\n`);
        return { outcome: options.wait ? 'deleted' : 'begun' };
      };
      if (name !== undefined) {
        await deleteVm(vmRef(name, options));
        return;
      }
      const { readVmManifests } = await import('../../input/vm-manifest.ts');
      const { assertOneOperation, endManifestRun, runManifests } = await import(
        './manifest-run.ts'
      );
      const parts = await readVmManifests({ ...options, filename }, io);
      assertOneOperation(command, options, parts);
      const ends = await runManifests(io, parts, (manifest) => {
        const { namespace, uid = '' } = manifest;
        return deleteVm({ namespace, name: manifest.name, uid });
      });
      endManifestRun(io, ends);
    });
  });
}
