import type { Command } from 'commander';
import type { MigrationSpecInput } from '../../../client/migration-calls.ts';
import type { VmRefInput } from '../../../client/vm-calls.ts';
import { withAgent } from '../../connection/agent-connection.ts';
import type { Document } from '../../output/documents.ts';
import { printDocument } from '../../output/output.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { EXIT_CODES, Exit } from '../../process/exit-codes.ts';
import { planDocument, planText } from '../../views/migration-plan.ts';
import { isOffMove, type Move, whyItStays } from '../../views/move-view.ts';
import { vmName } from '../../views/vm-view.ts';
import { listVms, type MigrateAllOptions, refOf } from './all.ts';

/** Says of each VM of a node what stands in the way of moving it. */
export async function planAll(
  io: CliIo,
  command: Command,
  options: MigrateAllOptions,
  specOf: (vm: VmRefInput) => MigrationSpecInput,
): Promise<void> {
  const isText = options.output !== 'json' && options.output !== 'yaml';
  const items: Document[] = [];
  let isFree = true;
  await withAgent(io, command, async (client, call) => {
    for (const vm of await listVms(client, call, options)) {
      const name = vmName(vm);
      const why = whyItStays(vm, options);
      if (why !== undefined) {
        const move: Move = { vm, outcome: 'stays', why };
        isFree &&= isOffMove(move);
        items.push({ vm: name, possible: false, why });
        if (isText) io.stdout.write(`VM ${name} stays: ${why}\n`);
        continue;
      }
      const plan = await client.migrations.plan(specOf(refOf(vm)), call);
      isFree &&= plan.blockers.length === 0;
      items.push({ vm: name, ...planDocument(plan) });
      if (isText) io.stdout.write(planText(name, options.to, plan));
    }
  });
  if (options.output === 'json' || options.output === 'yaml') {
    await printDocument(io, options.output, { items });
  } else if (items.length === 0) io.stderr.write('There are no VMs to move\n');
  if (!isFree) throw new Exit(EXIT_CODES.refused);
}
