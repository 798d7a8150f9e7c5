import { type Command, Option } from 'commander';
import type { EventFilter } from '../../client/event-calls.ts';
import { addConnectionOptions, withAgent } from '../connection/agent-connection.ts';
import { durationArgument, namespaceArgument } from '../input/argument-parsers.ts';
import { type NamespaceOptions, problemOf, vmRef } from '../input/vm-ref.ts';
import { addOutputOption, type OutputOptions } from '../output/output-format.ts';
import type { CliIo } from '../process/cli-io.ts';

interface EventsOptions extends OutputOptions, NamespaceOptions {
  readonly follow?: boolean;
  /** Milliseconds. */
  readonly since?: number;
  readonly type?: 'Normal' | 'Warning';
}

export function addEventsCommand(parent: Command, io: CliIo): Command {
  const command = parent
    .command('events')
    .description(
      'Prints what has happened to the VMs of the node, also to those that are gone: what was asked for and by whom, starts, ' +
        'stops and why, migrations, changes. The latest 100 of each VM are kept, for 7 days. What happens again within 10 ' +
        'minutes is counted.',
    )
    .argument('[vm]', 'NAME or NAMESPACE/NAME; left out: all VMs')
    .option('-n, --namespace <namespace>', 'only those of VMs of this namespace', namespaceArgument)
    .option('-f, --follow', 'go on with what happens from now on, until Ctrl-C')
    .option('--since <duration>', 'only what has happened since, such as 1h', durationArgument)
    .addOption(
      new Option('--type <type>', 'only those of this type').choices(['Normal', 'Warning']),
    );
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl events
  novactl events web --since 1h
  novactl events -f --type Warning
  novactl events shop/web -o wide
`,
  );
  command.action(async (name: string | undefined, options: EventsOptions) => {
    const problem = name === undefined ? undefined : problemOf(name, options);
    if (problem !== undefined) command.error(`error: ${problem}`);
    const { output, follow = false } = options;
    if (follow && output !== 'table' && output !== 'json') {
      command.error('error: with --follow the output is table or json');
    }
    if (follow) await followAll(io, command, name, options);
    else await listAll(io, command, name, options);
  });
  return command;
}

async function listAll(
  io: CliIo,
  command: Command,
  name: string | undefined,
  options: EventsOptions,
): Promise<void> {
  const { toTimestamp } = await import('../../client/time.ts');
  const { printList } = await import('../output/output.ts');
  const { eventView, lastTimeMs } = await import('../views/event-view.ts');
  const filter = await filterOf(name, options);
  const { since: sinceMs } = options;
  const since = sinceMs === undefined ? undefined : toTimestamp(Date.now() - sinceMs);
  await withAgent(io, command, async (client, call) => {
    const found = await Array.fromAsync(client.events.listAll({ ...filter, since }, call));
    // As they are listed, the newest first, but for those that have happened again since.
    const events = found.toReversed().toSorted((one, other) => lastTimeMs(one) - lastTimeMs(other));
    const whose = name === undefined ? 'on this node' : `of VM ${name} on this node`;
    await printList(
      io,
      options.output,
      eventView(Date.now()),
      events,
      `There are no events ${whose}`,
    );
  });
}

async function followAll(
  io: CliIo,
  command: Command,
  name: string | undefined,
  options: EventsOptions,
): Promise<void> {
  const { watchEvents } = await import('../../client/watches.ts');
  const { printEvents } = await import('../progress/print-events.ts');
  const filter = await filterOf(name, options);
  const { output, since } = options;
  const sinceMs = since === undefined ? 0 : Date.now() - since;
  await withAgent(io, command, (client) =>
    printEvents(io, { isJson: output === 'json', sinceMs }, (resume) =>
      watchEvents(client, { ...resume, ...filter }),
    ),
  );
}

async function filterOf(name: string | undefined, options: EventsOptions): Promise<EventFilter> {
  const { EventType } = await import('../../client/api.ts');
  const types = { Normal: EventType.EVENT_TYPE_NORMAL, Warning: EventType.EVENT_TYPE_WARNING };
  const type = options.type && types[options.type];
  if (name === undefined) return { namespace: options.namespace, type };
  return { virtualMachine: vmRef(name, options), type };
}
