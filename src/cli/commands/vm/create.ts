import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addManifestOptions, type ManifestOptions } from '../../input/manifest-options.ts';
import { addNamespaceOption } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface CreateOptions extends OutputOptions, ManifestOptions {
  readonly dryRun?: boolean;
}

export function addVmCreateCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('create')
    .summary('make VMs that are not there yet')
    .description(
      'Makes the VMs of manifests and starts those that should run. A VM that is there is never changed: making it ' +
        'again with the same uid, labels, annotations and spec does nothing, anything else is refused. "vm apply" ' +
        'changes VMs, and its --help shows a manifest.',
    );
  addManifestOptions(command, { isRequired: true }).option(
    '--dry-run',
    'check everything and make nothing',
  );
  addNamespaceOption(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm create -f web.yaml
  novactl vm create -f web.yaml --dry-run
  novactl vm get web -o yaml | sed 's/web/web2/; /uid:/d' | novactl vm create -f -
`,
  );
  command.action(async (options: CreateOptions) => {
    const { dryRun = false, output } = options;
    const { readVmManifests, toVmInput } = await import('../../input/vm-manifest.ts');
    const parts = await readVmManifests(options, io);
    const { endManifestRun, runManifests } = await import('./manifest-run.ts');
    const { required } = await import('../../../client/required.ts');
    const { phaseWord, vmDocument, vmName, vmView } = await import('../../views/vm-view.ts');
    await withAgent(io, command, async (client, call) => {
      const ends = await runManifests(io, parts, async (manifest) => {
        const answer = await client.vms.create(toVmInput(manifest), { ...call, dryRun });
        const vm = vmDocument(required(answer.virtualMachine, 'VM'));
        for (const warning of answer.warnings) {
          io.stderr.write(`Warning: VM ${vmName(vm)}: ${warning}\n`);
        }
        if (output === 'table') {
          const made = dryRun ? 'could be created' : `created (${phaseWord(vm)})`;
          io.stdout.write(`VM ${vmName(vm)} ${made}\n`);
        }
        return { outcome: 'created', vm };
      });
      const made = ends.flatMap(({ result }) => (result === undefined ? [] : [result.vm]));
      if (output !== 'table') {
        const { printItem, printList } = await import('../../output/output.ts');
        const view = vmView({ nowMs: Date.now(), showNamespace: true });
        const [first] = made;
        if (ends.length === 1 && first !== undefined) printItem(io, output, view, first);
        else printList(io, output, view, made, 'No VM was created');
      }
      endManifestRun(io, ends, { dryRun });
    });
  });
}
