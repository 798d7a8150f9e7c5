import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TwoNodes } from './two-nodes.ts';

// As cloned hosts are. libvirt tells hosts apart by their UUIDs.
test('a VM moves there and back between hosts of one hostname, and to one whose name nothing resolves', async ({
  signal,
}) => {
  await using nodes = await TwoNodes.start(signal);
  const { a, b } = nodes;
  const vm = await nodes.bootVm(a, signal);
  for (const hostname of [a.plan.hostname, 'nowhere.invalid']) {
    await b.run(['hostname', hostname], signal);
    await nodes.restartLibvirtd(b, signal);
    const spec = { virtualMachine: { name: vm.name }, destination: { nodeName: 'b' } };
    const { blockers } = await nodes.client('a').migrations.plan(spec, { signal });
    assert.deepEqual(blockers, []);
    await vm.moveFrom(a, signal);
    await vm.moveFrom(b, signal);
  }
});
