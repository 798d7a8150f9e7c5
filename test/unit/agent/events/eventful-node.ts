import assert from 'node:assert/strict';
import { EventStore } from '../../../../src/agent/events/event-store.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { until } from '../../../fixtures/until.ts';
import { ask } from '../runs/controlled-node.ts';
import { type newRequest, OneNode } from '../vms/one-node.ts';

const ALL = {
  vmUid: undefined,
  vmName: undefined,
  namespace: undefined,
  type: undefined,
  sinceMs: undefined,
};

/** What the journal has of what has happened, the oldest first: `Started RunStrategy tester`, and ` x2` of what happened twice. */
export async function toldBy({ journal }: Pick<OneNode, 'journal'>): Promise<readonly string[]> {
  const { records } = await new EventStore(journal.database).list(ALL, {
    after: undefined,
    limit: 1_000,
  });
  return records.toReversed().map(({ reason, cause, requestedBy, count }) => {
    const words = [reason, cause, requestedBy].filter((word) => word !== '');
    return `${words.join(' ')}${count === 1 ? '' : ` x${count}`}`;
  });
}

/** Waits until these are told, in this order, and nothing else. */
export async function expectTold(
  node: Pick<OneNode, 'journal'>,
  expected: readonly string[],
): Promise<void> {
  let told: readonly string[] = [];
  try {
    await until('these are told', async () => {
      told = await toldBy(node);
      return told.join() === expected.join();
    });
  } catch {
    // What is told in its place says more.
  }
  assert.deepEqual(told, expected);
}

/** An agent that runs, and has made a VM as callers have it made. */
export async function withVm(
  request: WantedVm,
  options: Parameters<typeof OneNode.open>[0] = {},
): Promise<OneNode> {
  const node = await OneNode.open(options);
  node.agent.run();
  await ask(node, 'create', refFor(request), { manifest: request });
  return node;
}

/** The VM that a request is about, as callers name it. */
export function refFor({ metadata }: ReturnType<typeof newRequest>) {
  const { namespace, name, uid } = metadata;
  return { namespace, name, uid };
}
