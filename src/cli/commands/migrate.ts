import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import type { MigrationSpecInput } from '../../client/migration-calls.ts';
import type { VmRefInput } from '../../client/vm-calls.ts';
import {
  addConnectionOptions,
  connectionOptions,
  withAgent,
} from '../connection/agent-connection.ts';
import {
  bitRateArgument,
  durationArgument,
  hostPortArgument,
  labelArgument,
  nodeNameArgument,
  uuidArgument,
  volumesArgument,
} from '../input/argument-parsers.ts';
import { addSelectorOption, type SelectorOptions } from '../input/selector-option.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../output/output-format.ts';
import { type CliIo, outputProblem, writeBegun } from '../process/cli-io.ts';
import { EXIT_CODES, Exit, Interrupted } from '../process/exit-codes.ts';

interface MigrateOptions extends OutputOptions, NamespaceOptions, SelectorOptions {
  readonly all?: boolean;
  readonly to: string;
  readonly address?: string;
  readonly plan?: boolean;
  readonly maxDowntime?: number;
  readonly bandwidth?: string;
  readonly label?: Readonly<Record<string, string>>;
  readonly timeout?: number;
  readonly trustShared?: readonly string[];
  readonly id?: string;
  readonly wait: boolean;
}

export function addMigrateCommand(parent: Command, io: CliIo): Command {
  const command = parent
    .command('migrate')
    .description(
      'Moves a running VM to another node and shows how it goes. Ask the agent of the node where the VM runs.\n' +
        'Ctrl-C stops watching; the migration goes on. With --all it moves every VM that can be moved, a few at once, ' +
        'and says of each what became of it.',
    )
    .argument('[vm]', 'NAME or NAMESPACE/NAME')
    .requiredOption('--to <node>', 'name of the destination node', nodeNameArgument);
  command
    .option('--all', 'all VMs of the node, or those of -n and -l')
    .option(
      '--address <host:port>',
      "the destination's agent, if the source node's configuration does not name it",
      hostPortArgument,
    )
    .option('--plan', 'only say what stands in the way; exit code 4 if anything does')
    .option(
      '--max-downtime <duration>',
      'longest pause of the guest, such as 100ms',
      durationArgument,
    )
    .option(
      '--bandwidth <rate>',
      'bits a second for everything it sends, such as 1Gbps',
      bitRateArgument,
    )
    .option(
      '--timeout <duration>',
      'cancel it if it has not switched over by then, such as 10m; while it waits for its turn that does not count',
      durationArgument,
    )
    .option(
      '--trust-shared <volume>',
      'take the disk of this volume for the same on both nodes where that cannot be found out; may be repeated; logged with who asks',
      volumesArgument,
    )
    .option('--id <uuid>', 'id of the migration; giving it again repeats nothing', uuidArgument)
    .option('--label <key=value>', 'label of the migration; may be repeated', labelArgument)
    .option('--no-wait', 'start it and do not watch');
  addNamespaceOption(command);
  addSelectorOption(command, 'VMs');
  addOutputOption(command);
  addConnectionOptions(command, { address: false }).addHelpText(
    'after',
    `
The agent to ask can be chosen with --node, or with --address before the command.

Examples:
  novactl migrate web --to node-b --plan
  novactl migrate web --to node-b
  novactl migrate --all --to node-b --bandwidth 5Gbps
  novactl migrate shop/web --to node-b --max-downtime 50ms --bandwidth 1Gbps --timeout 10m
  novactl migrate web --to node-b --trust-shared data
  novactl --address unix:/run/novacron/agent.sock migrate web --to node-b --address 10.0.0.2:7443
`,
  );
  command.action(async (name: string | undefined, options: MigrateOptions) => {
    const { all = false, selector, id, plan: isPlan = false } = options;
    if ((name === undefined) !== all) command.error('error: name either one VM, or all with --all');
    if (all && id !== undefined)
      command.error('error: --id is that of one migration, not of --all');
    if (!all && selector !== undefined) command.error('error: --selector chooses among --all');
    if (name !== undefined) {
      await (isPlan ? plan : migrate)(io, command, name, options);
      return;
    }
    const limits = await limitsOf(options);
    const spec = (virtualMachine: VmRefInput) => specOf(virtualMachine, limits, options);
    if (isPlan) {
      const { planAll } = await import('./migrate/plan-all.ts');
      await planAll(io, command, options, spec);
    } else {
      const { migrateAll } = await import('./migrate/all.ts');
      await migrateAll(io, command, options, spec);
    }
  });
  return command;
}

async function plan(
  io: CliIo,
  command: Command,
  name: string,
  options: MigrateOptions,
): Promise<void> {
  const { planDocument, planText } = await import('../views/migration-plan.ts');
  const { printDocument } = await import('../output/output.ts');
  await withAgent(io, command, async (client, call) => {
    const answer = await client.migrations.plan(await specOfOne(name, options), call);
    if (options.output === 'json' || options.output === 'yaml') {
      await printDocument(io, options.output, planDocument(answer));
    } else {
      io.stdout.write(planText(name, options.to, answer));
    }
    if (answer.blockers.length > 0) throw new Exit(EXIT_CODES.refused);
  });
}

async function migrate(
  io: CliIo,
  command: Command,
  name: string,
  options: MigrateOptions,
): Promise<void> {
  const { followMigration, goesOn } = await import('../progress/follow-migration.ts');
  const { repeatCall } = await import('../progress/repeat-call.ts');
  const { mayHaveArrived } = await import('../../client/status.ts');
  const id = options.id ?? randomUUID();
  const spec = await specOfOne(name, options);
  let wasLost = false;
  const onLost = () => {
    wasLost = true;
  };
  await withAgent(io, command, async (client, call) => {
    try {
      const ask = () => client.migrations.start(id, spec, { ...call, labels: options.label });
      const migration = await repeatCall(io, command, ask, onLost);
      if (!options.wait) {
        if (options.output === 'table') {
          writeBegun(io, `Started: ${goesOn(id, connectionOptions(command))}`);
          return;
        }
        const { printItem } = await import('../output/output.ts');
        const { migrationView } = await import('../views/migration-view.ts');
        await printItem(io, options.output, migrationView(Date.now()), migration);
        return;
      }
    } catch (error) {
      if (wasLost || error instanceof Interrupted || mayHaveArrived(error)) {
        io.stderr.write(`It may have started: ${goesOn(id, connectionOptions(command))}`);
      }
      throw error;
    }
    const begun = `Migration ${id} of VM ${name} to node ${options.to}\n`;
    io.stderr.write(begun);
    if (outputProblem(io.stderr) !== undefined && options.output === 'table') {
      io.stdout.write(begun);
    }
    await followMigration(io, command, client, id, options.output);
  });
}

async function specOfOne(name: string, options: MigrateOptions): Promise<MigrationSpecInput> {
  return specOf(vmRef(name, options), await limitsOf(options), options);
}

function specOf(
  virtualMachine: VmRefInput,
  limits: MigrationSpecInput['limits'],
  { to, address = '', trustShared = [] }: MigrateOptions,
): MigrationSpecInput {
  const destination = { nodeName: to, address };
  return { virtualMachine, destination, trustShared: [...trustShared], limits };
}

async function limitsOf(options: MigrateOptions) {
  const { toDuration } = await import('../../client/time.ts');
  const { maxDowntime, bandwidth, timeout } = options;
  return {
    ...(bandwidth === undefined ? {} : { bandwidth }),
    ...(maxDowntime === undefined ? {} : { maxDowntime: toDuration(maxDowntime) }),
    ...(timeout === undefined ? {} : { timeout: toDuration(timeout) }),
  };
}
