import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { generationArgument } from '../../input/argument-parsers.ts';
import { addChangeOptions, type ChangeOptions } from '../../input/change-options.ts';
import { addManifestOptions, type ManifestOptions } from '../../input/manifest-options.ts';
import { addSecretOption, readSecrets, type SecretOptions } from '../../input/secret-options.ts';
import { addNamespaceOption } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import { type CliIo, writeBegun } from '../../process/cli-io.ts';

interface ApplyOptions extends OutputOptions, ManifestOptions, ChangeOptions, SecretOptions {
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
  addSecretOption(command);
  addChangeOptions(command);
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
    const { assertOneOperation, endManifestRun, runManifests } = await import('./manifest-run.ts');
    assertOneOperation(command, options, parts);
    const manifests = parts.flatMap((part) => ('error' in part ? [] : [part.value]));
    const secretsOf = await readSecrets(options, manifests);
    const { change } = await import('../../progress/change.ts');
    const { applyDocument, applyText, readApplyResponse } = await import(
      '../../views/apply-result.ts'
    );
    const { operationDocument } = await import('../../views/operation-view.ts');
    const isText = output !== 'json' && output !== 'yaml';
    await withAgent(io, command, async (client, call) => {
      const ends = await runManifests(io, parts, async (manifest) => {
        const { namespace, name } = manifest;
        const vmName = `${namespace}/${name}`;
        const input = toVmInput(manifest);
        const ask = (operationId?: string) =>
          client.vms.apply(input, {
            ...call,
            dryRun,
            generation,
            operationId,
            secrets: secretsOf(manifest),
          });
        const { answer, operation } = dryRun
          ? { answer: await ask(), operation: undefined }
          : await change({ io, command, client, options }, ask);
        // An operation that has ended knows all of them.
        const told = operation?.warnings ?? [];
        for (const warning of told.length > 0 ? told : answer.warnings) {
          io.stderr.write(`Warning: VM ${vmName}: ${warning}\n`);
        }
        if (operation !== undefined && !options.wait) {
          if (isText) writeBegun(io, `${operation.id}\n`);
          const begun = { vm: vmName, outcome: 'begun', operation: operationDocument(operation) };
          return { outcome: begun.outcome, document: begun };
        }
        const done = operation && {
          vm: await client.vms.get(operation.virtualMachine ?? { namespace, name }, call),
          outcome: operation.result,
        };
        const result = readApplyResponse(answer, done);
        if (output === 'name') io.stdout.write(`${vmName}\n`);
        else if (isText) io.stdout.write(applyText(result, { dryRun }));
        return { outcome: result.outcome, document: applyDocument(result) };
      });
      if (!isText) {
        const { printDocument } = await import('../../output/output.ts');
        const { undoneDocument } = await import('./manifest-run.ts');
        const items = ends.map((end) =>
          end.result === undefined
            ? undoneDocument(end)
            : { where: end.where, ...end.result.document },
        );
        await printDocument(io, output, { items });
      }
      endManifestRun(io, ends, { dryRun });
    });
  });
}
