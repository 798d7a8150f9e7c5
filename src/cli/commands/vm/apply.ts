import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { generationArgument } from '../../input/argument-parsers.ts';
import { addManifestOptions, type ManifestOptions } from '../../input/manifest-options.ts';
import { addNamespaceOption } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface ApplyOptions extends OutputOptions, ManifestOptions {
  readonly dryRun?: boolean;
  readonly generation?: bigint;
}

export function addVmApplyCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('apply')
    .summary('make VMs be as their manifests say')
    .description(
      'Makes VMs be as their manifests say: creates those that are not there and changes those that are, and says ' +
        'field by field what it changed and when that is in force. What a manifest leaves out is unset. Doing it ' +
        'again changes nothing. A document that fails does not stop the others; the exit code is that of the first ' +
        'one that failed.',
    );
  addManifestOptions(command, { isRequired: true })
    .option('--dry-run', 'check everything, say what would change, and change nothing')
    .option(
      '--generation <number>',
      'only if the VM has this metadata.generation; 0 if there must be none yet',
      generationArgument,
    );
  addNamespaceOption(command);
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm apply -f web.yaml --dry-run
  novactl vm apply -f web.yaml
  novactl vm apply -R -f vms/
  novactl vm get web -o yaml | sed 's/memory: 1Gi/memory: 2Gi/' | novactl vm apply -f -

A manifest (docs/reference/virtual-machine.md has every field):
  apiVersion: novacron.io/v1alpha1
  kind: VirtualMachine
  metadata: {name: web, namespace: default, labels: {app: web}}
  spec:
    runStrategy: Always                 # RerunOnFailure, Once, Manual or Halted
    template:
      spec:
        resources: {cpu: 2, memory: 1Gi}
        firmware: {type: uefi}          # or bios
        volumes:
          - {name: root, format: qcow2, source: {file: {path: /var/lib/images/web.qcow2}}, bootOrder: 1}
`,
  );
  command.action(async (options: ApplyOptions) => {
    const { dryRun = false, generation, output } = options;
    const { readVmManifests, toVmInput } = await import('../../input/vm-manifest.ts');
    const parts = await readVmManifests(options, io);
    if (generation !== undefined && parts.length > 1) {
      command.error(
        `error: --generation is that of one VM, but ${parts.length} manifests are given`,
      );
    }
    const { endManifestRun, runManifests } = await import('./manifest-run.ts');
    const { applyText, readApplyResponse } = await import('../../views/apply-result.ts');
    const { vmName } = await import('../../views/vm-view.ts');
    await withAgent(io, command, async (client, call) => {
      const ends = await runManifests(io, parts, async (manifest) => {
        const settings = { ...call, dryRun, generation };
        const result = readApplyResponse(await client.vms.apply(toVmInput(manifest), settings));
        for (const warning of result.warnings) {
          io.stderr.write(`Warning: VM ${vmName(result.vm)}: ${warning}\n`);
        }
        if (output === 'table' || output === 'wide') io.stdout.write(applyText(result, { dryRun }));
        if (output === 'name') io.stdout.write(`${vmName(result.vm)}\n`);
        return result;
      });
      if (output === 'json' || output === 'yaml') {
        const { printDocument } = await import('../../output/output.ts');
        const { applyDocument } = await import('../../views/apply-result.ts');
        const { undoneDocument } = await import('./manifest-run.ts');
        const items = ends.map((end) =>
          end.result === undefined
            ? undoneDocument(end)
            : { where: end.where, ...applyDocument(end.result) },
        );
        printDocument(io, output, { items });
      }
      endManifestRun(io, ends, { dryRun });
    });
  });
}
