import type { Command } from 'commander';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addOutputOption, type OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addNodeReservationsCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('reservations')
    .summary('what is kept free for VMs to come')
    .description(
      'Lists what schedulers have had kept free on this node for VMs that are about to be made. Each ends by itself; ' +
        '"novactl node release" ends one at once.',
    );
  addOutputOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl node reservations
  novactl node reservations -o name | xargs -n1 novactl node release
`,
  );
  command.action(async ({ output }: OutputOptions) => {
    const { printList } = await import('../../output/output.ts');
    const { reservationView } = await import('../../views/reservation-view.ts');
    await withAgent(io, command, async (client, call) => {
      const reservations = await client.node.listReservations(call);
      const view = reservationView(Date.now());
      await printList(io, output, view, reservations, 'There are no reservations');
    });
  });
}
