import type { Command } from 'commander';
import type { Operation } from '../../../client/api.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { ownershipEpochArgument } from '../../input/argument-parsers.ts';
import { addChangeOptions, type ChangeOptions } from '../../input/change-options.ts';
import { addManifestOptions, type ManifestOptions } from '../../input/manifest-options.ts';
import { addSecretOption, readSecrets, type SecretOptions } from '../../input/secret-options.ts';
import { addNamespaceOption } from '../../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { ResourceView } from '../../output/resource-view.ts';
import { type CliIo, writeBegun } from '../../process/cli-io.ts';
import type { VmDocument } from '../../views/vm-view.ts';

interface CreateOptions extends OutputOptions, ManifestOptions, ChangeOptions, SecretOptions {
  readonly dryRun?: boolean;
  readonly ownershipEpoch?: bigint;
}

interface CreateResult {
  readonly outcome: 'created' | 'begun';
  readonly vm?: VmDocument;
  /** Nobody waits for it. */
  readonly operation?: Operation;
}

export function addVmCreateCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('create')
    .summary('make VMs that are not there yet')
    .description(
      'Makes the VMs of manifests, starts those that should run, and waits until that is done. A VM that is there is never changed: making it ' +
        'again with the same uid, labels, annotations and spec does nothing, anything else is refused. "vm apply" ' +
        'changes VMs, and its --help shows a manifest.',
    );
  addManifestOptions(command, { isRequired: true })
    .option('--dry-run', 'check everything and make nothing')
    .option(
      '--ownership-epoch <number>',
      'higher than any that the VM has had: makes it anew where it has left, once it is gone from every other node',
      ownershipEpochArgument,
    );
  addSecretOption(command);
  addChangeOptions(command);
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
    const { dryRun = false, output, ownershipEpoch } = options;
    const { readVmManifests, toVmInput } = await import('../../input/vm-manifest.ts');
    const parts = await readVmManifests(options, io);
    if (ownershipEpoch !== undefined && parts.length > 1) {
      command.error(
        `error: --ownership-epoch is that of one VM, but ${parts.length} manifests are given`,
      );
    }
    const { assertOneOperation, endManifestRun, runManifests } = await import('./manifest-run.ts');
    assertOneOperation(command, options, parts);
    const manifests = parts.flatMap((part) => ('error' in part ? [] : [part.value]));
    const secretsOf = await readSecrets(options, manifests);
    const { change } = await import('../../progress/change.ts');
    const { required } = await import('../../../client/required.ts');
    const { phaseWord, vmDocument, vmName, vmView } = await import('../../views/vm-view.ts');
    await withAgent(io, command, async (client, call) => {
      const ends = await runManifests(io, parts, async (manifest): Promise<CreateResult> => {
        const input = toVmInput(manifest);
        const ask = (operationId?: string) =>
          client.vms.create(input, {
            ...call,
            dryRun,
            ownershipEpoch,
            operationId,
            secrets: secretsOf(manifest),
          });
        const { answer, operation } = dryRun
          ? { answer: await ask(), operation: undefined }
          : await change({ io, command, client, options }, ask);
        // An operation that has ended knows all of them.
        const told = operation?.warnings ?? [];
        for (const warning of told.length > 0 ? told : answer.warnings) {
          io.stderr.write(`Warning: VM ${manifest.namespace}/${manifest.name}: ${warning}\n`);
        }
        if (operation !== undefined && !options.wait) {
          if (output === 'table') writeBegun(io, `${operation.id}\n`);
          return { outcome: 'begun', operation };
        }
        const message =
          operation?.virtualMachine === undefined
            ? required(answer.virtualMachine, 'VM')
            : await client.vms.get(operation.virtualMachine, call);
        const vm = vmDocument(message);
        if (output === 'table') {
          const made = dryRun ? 'could be created' : `created (${phaseWord(vm)})`;
          io.stdout.write(`VM ${vmName(vm)} ${made}\n`);
        }
        return { outcome: 'created', vm };
      });
      if (output !== 'table') {
        const { printItem, printList } = await import('../../output/output.ts');
        const { operationView } = await import('../../views/operation-view.ts');
        const print = async <T>(view: ResourceView<T>, items: readonly T[]) => {
          const [first] = items;
          if (ends.length === 1 && first !== undefined) await printItem(io, output, view, first);
          else await printList(io, output, view, items, 'No VM was created');
        };
        const results = ends.flatMap(({ result }) => result ?? []);
        if (dryRun || options.wait) {
          const view = vmView({ nowMs: Date.now(), showNamespace: true });
          await print(
            view,
            results.flatMap(({ vm }) => vm ?? []),
          );
        } else {
          await print(
            operationView(Date.now()),
            results.flatMap(({ operation }) => operation ?? []),
          );
        }
      }
      endManifestRun(io, ends, { dryRun });
    });
  });
}
