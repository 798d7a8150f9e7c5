import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addManifestOptions, type ManifestOptions } from '../../input/manifest-options.ts';
import { addNamespaceOption, vmRef } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface DeleteOptions extends Partial<ManifestOptions> {
  readonly force?: boolean;
}

export function addVmDeleteCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('delete')
    .summary('forget stopped VMs')
    .description(
      'Forgets a stopped VM, or those that manifests name; their disk images stay. One that is gone counts as ' +
        'deleted. Of a manifest only the names count, and its uid if it has one.',
    )
    .argument('[vm]', 'NAME or NAMESPACE/NAME');
  addManifestOptions(command, { isRequired: false }).option(
    '--force',
    'cut the power first if it runs',
  );
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm delete web
  novactl vm delete web --force
  novactl vm delete -f web.yaml
`,
  );
  command.action(async (name: string | undefined, options: DeleteOptions) => {
    const { filename = [], force } = options;
    if ((name === undefined) === (filename.length === 0)) {
      command.error('error: name either one VM or manifests with -f');
    }
    await withAgent(io, command, async (client, call) => {
      const deleteVm = async (ref: ReturnType<typeof vmRef>) => {
        await client.vms.delete(ref, { ...call, force });
        io.stdout.write(`VM ${ref.namespace || 'default'}/${ref.name} deleted\n`);
        return { outcome: 'deleted' };
      };
      if (name !== undefined) {
        await deleteVm(vmRef(name, options));
        return;
      }
      const { readVmManifests } = await import('../../input/vm-manifest.ts');
      const { endManifestRun, runManifests } = await import('./manifest-run.ts');
      const parts = await readVmManifests({ ...options, filename }, io);
      const ends = await runManifests(io, parts, (manifest) => {
        const { namespace, uid = '' } = manifest;
        return deleteVm({ namespace, name: manifest.name, uid });
      });
      endManifestRun(io, ends);
    });
  });
}
