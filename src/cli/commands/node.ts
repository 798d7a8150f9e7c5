import type { Command } from 'commander';
import type { CliIo } from '../process/cli-io.ts';
import { addNodeAcceptUnidentifiedCommand } from './node/accept-unidentified.ts';
import { addNodeCordonCommand } from './node/cordon.ts';
import { addNodeGetCommand } from './node/get.ts';
import { addNodeReleaseCommand } from './node/release.ts';
import { addNodeReservationsCommand } from './node/reservations.ts';
import { addNodeShutdownVmsCommand } from './node/shutdown-vms.ts';
import { addNodeUncordonCommand } from './node/uncordon.ts';

export function addNodeCommand(parent: Command, io: CliIo): Command {
  const node = parent
    .command('node')
    .description(
      'Shows the node that the agent runs on, says whether it takes new VMs, and powers off its VMs before its host goes down.',
    );
  addNodeGetCommand(node, io);
  addNodeCordonCommand(node, io);
  addNodeUncordonCommand(node, io);
  addNodeShutdownVmsCommand(node, io);
  addNodeAcceptUnidentifiedCommand(node, io);
  addNodeReservationsCommand(node, io);
  addNodeReleaseCommand(node, io);
  return node;
}
