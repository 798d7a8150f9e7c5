import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVERYTHING } from '../../../../src/core/label-selector.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { KERNEL_PATH, never, type TestNode, TwoNodes } from './two-nodes.ts';

const FOR_RESTART = { waitsFor: 'restart', sinceMs: undefined, problem: undefined } as const;

const CPU = 'spec.template.spec.resources.cpu';

async function vmOn({ agent }: TestNode) {
  await agent.inventory.refresh(never);
  const [vm] = agent.inventory.list({ namespace: '', labels: EVERYTHING });
  assert.ok(vm);
  return vm;
}

test('what waits for the next start goes with the VM, and is in force after its first start there', async () => {
  using nodes = await TwoNodes.open({
    spec: tinyVm({}, { kernel: { path: KERNEL_PATH } }).spec,
  });
  const { source, destination, vm } = nodes;
  const { metadata, spec } = {
    metadata: { namespace: vm.namespace, name: vm.name },
    spec: vm.spec,
  };
  const machine = spec.template.spec;
  const wanted = { ...machine, resources: { ...machine.resources, cpu: '2' } };
  await source.agent.vms.apply(
    { metadata, spec: { ...spec, template: { ...spec.template, spec: wanted } } },
    { dryRun: false, updateMask: undefined, generation: undefined },
    never,
  );
  const waits = [{ field: CPU, live: machine.resources.cpu, wanted: '2', ...FOR_RESTART }];
  assert.deepEqual((await vmOn(source)).pendingChanges, waits);
  await nodes.start();
  assert.equal((await nodes.ended()).phase, 'completed');
  await nodes.assertRunsOn(destination);

  const arrived = await vmOn(destination);
  assert.deepEqual(arrived.pendingChanges, waits);
  assert.equal(arrived.definition.generation, vm.generation + 1);
  const { namespace, name, uid } = arrived.definition;
  await destination.agent.vms.destroy({ namespace, name, uid }, never);
  await destination.agent.vms.start({ namespace, name, uid }, never);
  assert.deepEqual((await vmOn(destination)).pendingChanges, []);
});
