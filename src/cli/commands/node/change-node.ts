import type { Command } from 'commander';
import type { NodeSpec } from '../../../client/api.ts';
import { withAgent } from '../../connection/agent-connection.ts';
import type { ChangeOptions } from '../../input/change-options.ts';
import type { OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { change } from '../../progress/change.ts';
import { printBegun } from '../../views/operation-view.ts';
import { printNodeAction } from './action.ts';

/** Changes what the node should be, and says so: in a sentence, or by the node in the wanted format. */
export async function changeNode(
  io: CliIo,
  command: Command,
  options: OutputOptions & ChangeOptions,
  spec: Partial<NodeSpec>,
  done: string,
): Promise<void> {
  const { output } = options;
  await withAgent(io, command, async (client, call) => {
    const { operation } = await change({ io, command, client, options }, (operationId) =>
      client.node.update(spec, { ...call, operationId }),
    );
    if (!options.wait) {
      await printBegun(io, output, operation);
      return;
    }
    await printNodeAction(io, output, await client.node.get(call), done);
  });
}
