import type { Command } from 'commander';
import type { AgentClient } from '../../../client/agent-client.ts';
import type { Event, Guest, VirtualMachine } from '../../../client/api.ts';
import type { CallOptions } from '../../../client/connection.ts';
import type { VmRefInput } from '../../../client/vm-calls.ts';
import { AgentError, hasReason } from '../../../core/errors.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';
import type { VmDocument } from '../../views/vm-view.ts';

export function addVmDescribeCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('describe')
    .summary('all there is to say of one VM')
    .description(
      'Shows one VM in one page, for people: what it is made of, what it does and since when and why, its conditions, what ' +
        'waits for its next start, what it uses, what is being done to it and what has happened to it last. Programs take ' +
        '"vm get -o json" and "events -o json".',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME');
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm describe web
  novactl vm describe shop/web
`,
  );
  command.action(async (name: string, options: NamespaceOptions) => {
    const { vmDescription } = await import('../../views/vm-description.ts');
    const { vmDocument } = await import('../../views/vm-view.ts');
    await withAgent(io, command, async (client, call) => {
      const ref = vmRef(name, options);
      const vm = await getOrTellEvents(io, client, ref, call);
      const own = { ...ref, uid: vm.metadata?.uid ?? '' };
      const document = vmDocument(vm);
      const [guest, events, operations] = await Promise.all([
        askGuest(client, document, own, call),
        listEvents(client, own, call),
        Array.fromAsync(client.operations.listAll({ virtualMachine: own, activeOnly: true }, call)),
      ]);
      const nowMs = Date.now();
      io.stdout.write(vmDescription({ vm: document, guest, events, operations, nowMs }));
    });
  });
}

/** What a guest says of itself that has an agent to ask, and the addresses by which others know one; why not, if it does not answer. */
async function askGuest(
  client: AgentClient,
  { status }: VmDocument,
  ref: VmRefInput,
  call: CallOptions,
): Promise<Guest | AgentError | undefined> {
  const agent = status?.conditions?.find(({ type }) => type === 'GuestAgentConnected');
  const hasInterfaces = (status?.interfaces ?? []).length > 0;
  if (agent?.status !== 'True' && !hasInterfaces) return undefined;
  try {
    return await client.guests.get(ref, call);
  } catch (error) {
    if (error instanceof AgentError) return error;
    throw error;
  }
}

/** Of a VM that is not here any more, what has happened to it says more than that it is not here. */
async function getOrTellEvents(
  io: CliIo,
  client: AgentClient,
  ref: VmRefInput,
  call: CallOptions,
): Promise<VirtualMachine> {
  try {
    return await client.vms.get(ref, { ...call, measureDisks: true });
  } catch (error) {
    if (!hasReason(error, 'VM_NOT_FOUND')) throw error;
    const events = await listEvents(client, ref, call);
    const { eventsSection } = await import('../../views/vm-description.ts');
    io.stdout.write(eventsSection(events, Date.now()).trimStart());
    throw error;
  }
}

/** An agent of before tells no events. */
async function listEvents(
  client: AgentClient,
  virtualMachine: VmRefInput,
  call: CallOptions,
): Promise<readonly Event[]> {
  try {
    return await Array.fromAsync(client.events.listAll({ virtualMachine }, call));
  } catch (error) {
    if (hasReason(error, 'FEATURE_NOT_SUPPORTED')) return [];
    throw error;
  }
}
