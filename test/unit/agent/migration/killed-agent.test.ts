import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MigrationRecord } from '../../../../src/agent/migration/migration-record.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { until } from '../../../fixtures/until.ts';
import { LUN, ROOT, type TestNode, TwoNodes } from './two-nodes.ts';

interface Story {
  readonly name: string;
  /** How it ends, depending on where the agent is killed. */
  readonly endings: readonly string[];
  /** A file that both nodes have, unless said otherwise. Whatever happens, only one of them writes to it. */
  readonly volumes?: readonly Volume[];
  readonly prepare?: (nodes: TwoNodes) => void;
  /** Repeated until it no longer copies. */
  readonly whileCopying?: (nodes: TwoNodes) => Promise<unknown>;
}

const STORIES: readonly Story[] = [
  {
    name: 'a migration that goes well',
    endings: ['completed', 'failed', 'never began'],
  },
  {
    name: 'a migration with a device on which no lock holds between nodes',
    endings: ['completed', 'failed', 'never began'],
    volumes: [ROOT, LUN],
  },
  {
    name: 'a migration that is cancelled',
    endings: ['cancelled', 'failed', 'never began'],
    prepare: ({ source }) => {
      source.hypervisor.manualProgress = true;
    },
    whileCopying: ({ source: { agent }, id }) =>
      Promise.race([agent.migrations.cancel(id), agent.life.death]),
  },
  {
    name: 'a switchover whose last reply is lost',
    endings: ['completed', 'failed', 'never began'],
    prepare: ({ source }) => {
      source.hypervisor.switchoverEnd = 'reply-lost';
    },
  },
  {
    name: 'a switchover whose last reply is lost, of a VM that no lock keeps from going on at its source',
    endings: ['completed', 'failed', 'never began'],
    volumes: [],
    prepare: ({ source }) => {
      source.hypervisor.switchoverEnd = 'reply-lost';
    },
  },
  {
    name: 'a switchover that leaves the VM held at its source',
    endings: ['failed', 'never began'],
    prepare: ({ source }) => {
      source.hypervisor.switchoverEnd = 'held';
    },
  },
];

/** Tells a story with a node's agent killed at one step of its work; undefined if it took fewer steps. */
async function tell(
  story: Story,
  victim: 'source' | 'destination',
  step: number,
): Promise<{ readonly killed: string | undefined; readonly record: MigrationRecord | undefined }> {
  using nodes = await TwoNodes.open(
    {},
    { userData: '#cloud-config', volumes: [...(story.volumes ?? [ROOT])] },
  );
  const { source, destination, id, vm } = nodes;
  story.prepare?.(nodes);
  const first = source.agent;
  const { life } = nodes[victim].agent;
  life.killAt(step);
  let refused = false;
  nodes.start().catch(() => {
    refused = true;
  });
  try {
    await until('it has ended or never began', async () => {
      const record = source.record(id);
      if (record?.phase === 'copying') await story.whileCopying?.(nodes).catch(() => undefined);
      const never = refused || (source.agent !== first && !source.agent.life.killed);
      return record === undefined ? never : record.endedAtMs !== undefined;
    });
    await nodes.assertSound();
    const record = source.record(id);
    const home: TestNode = record?.phase === 'completed' ? destination : source;
    assert.equal((await home.find(vm.uid))?.state, 'running');
    return { killed: life.killed ? life.steps.at(-1) : undefined, record };
  } catch (error) {
    const where = life.killed ? life.steps.at(-1) : 'not killed';
    const { phase, message } = source.record(id) ?? {};
    throw new Error(`Step ${step} (${where}): ${phase} ${message}`, { cause: error });
  }
}

for (const victim of ['source', 'destination'] as const) {
  for (const story of STORIES) {
    void test(`${story.name} comes to a known end wherever the agent of its ${victim} is killed`, async () => {
      const endings = new Set<string>();
      for (let step = 1; ; step++) {
        const { killed, record } = await tell(story, victim, step);
        endings.add(record?.phase ?? 'never began');
        if (killed !== undefined) continue;
        // Fewer would mean that the killing does not reach into the story.
        assert.ok(step > 25, `only ${step} steps`);
        break;
      }
      assert.deepEqual([...endings].toSorted(), story.endings.toSorted());
    });
  }
}
