import type { Command } from 'commander';
import { AgentError } from '../../../core/errors.ts';
import { withAgent } from '../../connection/agent-connection.ts';
import { vmRef } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmVerbOptions, runVmVerb, type VmVerbOptions } from './verb.ts';

export function addVmStartCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('start')
    .summary('start a stopped VM')
    .description(
      'Starts a stopped VM and waits until it runs. One that runs already counts as started; one that is paused ' +
        'is let go on with: novactl vm resume.',
    );
  command.option('--dry-run', 'only say whether it could be started, and what stands in the way');
  addVmVerbOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm start web
  novactl vm start web --dry-run
  novactl operation watch $(novactl vm start web --no-wait)
`,
  );
  command.action((name: string, options: VmVerbOptions & { readonly dryRun?: boolean }) =>
    options.dryRun === true
      ? planStart(io, command, name, options)
      : runVmVerb(io, command, name, options, {
          ask: (vms, ref, call) => vms.start(ref, call),
          done: 'started',
        }),
  );
}

async function planStart(
  io: CliIo,
  command: Command,
  name: string,
  options: VmVerbOptions,
): Promise<void> {
  await withAgent(io, command, async (client, call) => {
    const ref = vmRef(name, options);
    const { virtualMachine, operation } = await client.vms.start(ref, { ...call, dryRun: true });
    const { namespace, name: ownName } = virtualMachine?.metadata ?? ref;
    if (operation !== undefined) {
      throw new AgentError(
        'NOT_SUPPORTED',
        `VM ${namespace}/${ownName} was started: the agent of its node is too old for a dry run of that; upgrade it`,
      );
    }
    io.stdout.write(`VM ${namespace}/${ownName} could be started\n`);
  });
}
