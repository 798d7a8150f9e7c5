import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { hasEnded } from '../../../../src/agent/operations/operation.ts';
import { wantedOf } from '../../../../src/agent/vms/wanted-definition.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { KERNEL_PATH, never, TwoNodes } from '../migration/two-nodes.ts';

/** A node whose agent is gone, with what a creation that was cancelled has left: all that there can be. */
async function withRemains(isRecorded: boolean): Promise<{ nodes: TwoNodes; uid: string }> {
  const nodes = await TwoNodes.open();
  const { hypervisor, privateFiles, agent } = nodes.source;
  const vm = tinyVm({ name: 'new' }, { kernel: { path: KERNEL_PATH } });
  const { uid } = vm;
  const land = hypervisor.late('define', 'aborted');
  const parameters = { manifest: wantedOf(vm), reservationId: undefined };
  const ref = { namespace: vm.namespace, name: vm.name, uid };
  const asked = {
    id: randomUUID(),
    kind: 'create',
    vm: ref,
    parameters,
    requestedBy: 'me',
  } as const;
  const { operation } = await agent.operations.submit(asked, never);
  await until('it is being defined', () => hypervisor.calls.includes(`define ${uid}`));
  await agent.operations.cancel(operation.id, never);
  await until('it has ended', async () => hasEnded(await agent.operations.get(operation.id)));
  nodes.source.restarts = false;
  if (isRecorded) await agent.ownership.own({ ...vm, ownershipEpoch: 1 });
  agent.life.kill();
  await privateFiles.put(uid, 'user-data', Buffer.from('secret'), never);
  land();
  nodes.source.restarts = true;
  return { nodes, uid };
}

for (const isRecorded of [false, true]) {
  const what = isRecorded ? 'owned ' : '';
  void test(`${what}remains of a creation are removed wherever the agent is killed`, async () => {
    for (let step = 1; ; step += 1) {
      const { nodes, uid } = await withRemains(isRecorded);
      using _nodes = nodes;
      const { source } = nodes;
      assert.ok(await source.find(uid));
      await source.boot();
      const { life } = source.agent;
      life.killAt(step);
      await until(`it is gone, killed at step ${step}`, async () => {
        return (await source.find(uid)) === undefined;
      });
      await until('nobody is at it', () => source.agent.locks.purposeOf(uid) === undefined);
      assert.deepEqual(await source.privateFiles.listVms(never), []);
      assert.ok(!(await source.ownership()).isOwner(uid));
      if (life.killed) continue;
      assert.ok(step > (isRecorded ? 8 : 6), `only ${step} steps`);
      break;
    }
  });
}
