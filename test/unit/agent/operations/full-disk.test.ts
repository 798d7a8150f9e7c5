import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { THE_NODE } from '../../../../src/agent/operations/operation.ts';
import { hasReason } from '../../../../src/core/errors.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { until } from '../../../fixtures/until.ts';
import { never, newRequest, OneNode, refOf, uidOf } from '../vms/one-node.ts';
import { type Asked, ask, done, endOf } from './asking-node.ts';

/** A node whose disk becomes full, with VM web. */
interface Scene {
  readonly node: OneNode;
  readonly web: WantedVm;
  readonly stateOf: (request: WantedVm) => Promise<string | undefined>;
}

interface Story {
  readonly name: string;
  readonly asked: (scene: Scene) => Asked;
  readonly prepare?: (scene: Scene) => Promise<unknown>;
  readonly check: (scene: Scene) => Promise<void>;
  /** Fewer commits would mean that the full disk does not reach into the story. */
  readonly commits: number;
}

const NEW = newRequest('new', { runStrategy: 'Always' });

const STORIES: readonly Story[] = [
  {
    name: 'a start',
    prepare: ({ node, web }) => node.vms.destroy(refOf(web), never),
    asked: () => ({ kind: 'start' }),
    check: async ({ stateOf, web }) => assert.equal(await stateOf(web), 'running'),
    commits: 3,
  },
  {
    name: 'a shutdown',
    asked: () => ({ kind: 'shutdown' }),
    check: async ({ stateOf, web }) => assert.equal(await stateOf(web), 'stopped'),
    commits: 3,
  },
  {
    name: 'a destroy in the place of a shutdown',
    prepare: async ({ node }) => {
      node.hypervisor.slowShutdown = true;
      const { id } = await ask(node, { kind: 'shutdown' });
      await until('the guest is asked', async () => {
        return (await node.agent.operations.get(id)).step === 'waiting-for-guest';
      });
    },
    asked: () => ({ kind: 'destroy' }),
    check: async ({ stateOf, web }) => assert.equal(await stateOf(web), 'stopped'),
    commits: 3,
  },
  {
    name: 'a reset',
    asked: () => ({ kind: 'reset' }),
    check: async ({ node }) => {
      const resets = node.hypervisor.calls.filter((call) => call.startsWith('reset '));
      assert.equal(resets.length, 1);
    },
    commits: 2,
  },
  {
    name: 'a deletion',
    asked: () => ({ kind: 'delete', parameters: { force: true } }),
    check: ({ node, web }) => node.assertNothingOf(web),
    commits: 4,
  },
  {
    name: 'a change',
    asked: ({ web }) => {
      const metadata = { ...web.metadata, labels: { app: 'shop' } };
      const manifest = { ...web, metadata };
      return { kind: 'apply', parameters: { manifest, updateMask: undefined, generation: 1 } };
    },
    check: async ({ node, web }) => {
      const found = await node.hypervisor.domains.find(uidOf(web), never);
      assert.deepEqual(found?.definition?.labels, { app: 'shop' });
    },
    commits: 3,
  },
  {
    name: 'a creation',
    asked: () => ({
      kind: 'create',
      vm: refOf(NEW),
      parameters: { manifest: NEW, reservationId: undefined },
    }),
    check: async ({ stateOf }) => assert.equal(await stateOf(NEW), 'running'),
    commits: 4,
  },
  {
    name: 'a cordon',
    asked: () => ({
      kind: 'cordon',
      vm: { ...THE_NODE, uid: undefined },
      parameters: { spec: { cordon: true }, generation: 1 },
    }),
    check: async ({ node }) => assert.equal(node.agent.cordon.spec.cordon, true),
    commits: 4,
  },
];

/** Tells a story on a disk that is full after so many commits; false if there was room for all of it. */
async function tell(story: Story, commits: number): Promise<boolean> {
  const journal = new MemoryJournal();
  await using node = await OneNode.open({ journal });
  const web = newRequest();
  const scene: Scene = {
    node,
    web,
    stateOf: async (request) => (await node.hypervisor.domains.find(uidOf(request), never))?.state,
  };
  await node.create(web);
  await node.create(newRequest('db', { runStrategy: 'Manual' }));
  node.agent.run();
  await story.prepare?.(scene);
  const asked = { ...story.asked(scene), id: randomUUID() };
  journal.setRoom(commits);
  try {
    await ask(node, asked);
    // While the disk is full an operation that is known goes on, and says what it waits for.
    await until('it is done, or waits for room', async () => {
      const { endedAtMs, progress } = await node.agent.operations.get(asked.id);
      return endedAtMs !== undefined || /disk is full/.test(progress?.message ?? '');
    });
  } catch (error) {
    // Who was refused is told so, and nothing has begun.
    assert.ok(hasReason(error, 'STORAGE_FULL'), String(error));
    await assert.rejects(node.agent.operations.get(asked.id), { reason: 'OPERATION_NOT_FOUND' });
  }
  const { refused } = journal;
  journal.setRoom(Number.POSITIVE_INFINITY);
  // The same again means the same, whether it has begun or not.
  const end = await done(node, asked);
  assert.deepEqual([end.state, end.error], ['succeeded', undefined]);
  await story.check(scene);
  const other = { ...refOf(web), name: 'db' };
  assert.equal((await done(node, { kind: 'destroy', vm: other })).state, 'succeeded');
  assert.equal(node.locks.purposeOf(uidOf(web)), undefined);
  return refused > 0;
}

for (const story of STORIES) {
  test(`${story.name} on a disk that is full at any commit is refused, or done once there is room`, async () => {
    let commits = 0;
    for (; await toldWell(story, commits); commits += 1);
    assert.ok(commits >= story.commits, `only ${commits} commits`);
  });
}

async function toldWell(story: Story, commits: number): Promise<boolean> {
  try {
    return await tell(story, commits);
  } catch (error) {
    throw new Error(`Room for ${commits} commits`, { cause: error });
  }
}

test('on a full disk what is new is refused, and what was asked for before is told', async () => {
  const journal = new MemoryJournal();
  await using node = await OneNode.open({ journal });
  await node.create(newRequest());
  node.agent.run();
  const before = await done(node, { kind: 'destroy' });
  journal.setRoom(0);
  await assert.rejects(ask(node, { kind: 'start' }), { reason: 'STORAGE_FULL' });
  assert.deepEqual(await node.agent.operations.get(before.id), before);
  // By its id the one that has ended is still the same.
  assert.deepEqual(await endOf(node, before), before);
});
