import type { Node } from '../../../client/api.ts';
import { printItem } from '../../output/output.ts';
import type { OutputFormat } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { nodeName, nodeView } from '../../views/node-view.ts';

/** Says what was done to the node: a sentence, or the node in the wanted format. */
export async function printNodeAction(
  io: CliIo,
  output: OutputFormat,
  node: Node,
  done: string,
): Promise<void> {
  if (output === 'table') io.stdout.write(`Node ${nodeName(node)} ${done}\n`);
  else await printItem(io, output, nodeView(Date.now()), node);
}
