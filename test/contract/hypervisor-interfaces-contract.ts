import assert from 'node:assert/strict';
import { test } from 'node:test';
import { macOf } from '../../src/core/resources/mac-address.ts';
import type { Network } from '../../src/core/resources/network.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import { never, type UseFixture } from './hypervisor-fixture.ts';

const LAN: Network = { name: 'lan', type: 'bridge', bridge: 'br0' };
const OTHER: Network = { ...LAN, name: 'other', mac: '52:54:00:ab:cd:ef', model: 'e1000e' };

/** Part of what a hypervisor must do with the VMs of its node; both nodes have the bridge `br0`. */
export function testInterfaces(use: UseFixture): void {
  test('the interfaces of a VM that is off are listed, each with its address, and are no drift', async () => {
    const { domains } = use().source;
    const vm = withNetworks(use().newDefinition(), LAN, OTHER);
    await domains.define(vm, never);
    const found = await domains.find(vm.uid, never);
    const off = { bridge: 'br0', hostDevice: undefined };
    assert.deepEqual(found?.interfaces, [
      { name: 'lan', mac: macOf(vm.uid, LAN), model: 'virtio', ...off },
      { name: 'other', mac: '52:54:00:ab:cd:ef', model: 'e1000e', ...off },
    ]);
    assert.deepEqual(found.drift, []);
  });

  test('a running VM has the host ends of its interfaces, and moves with its addresses', async () => {
    const { source, destination, migration } = use();
    const vm = withNetworks(use().newDefinition(), LAN);
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    const before = await source.domains.find(vm.uid, never);
    assert.match(before?.interfaces[0]?.hostDevice ?? '', /^vnet\d+$/);
    await source.jobs.migrate(vm.uid, migration(vm, 'fast'), never);
    const after = await destination.domains.find(vm.uid, never);
    const { mac, bridge, model } = after?.interfaces[0] ?? {};
    assert.deepEqual([mac, bridge, model], [macOf(vm.uid, LAN), 'br0', 'virtio']);
    assert.deepEqual(after?.drift, []);
    await destination.domains.destroy(vm.uid, never);
  });

  test("another bridge, and another network, are a running VM's from its next start on", async () => {
    const { domains } = use().source;
    const vm = withNetworks(use().newDefinition(), LAN);
    await domains.define(vm, never);
    await domains.start(vm.uid, never);
    const namesNow = async () => {
      const found = await domains.find(vm.uid, never);
      assert.deepEqual(found?.drift, []);
      return found.interfaces.map(({ name }) => name);
    };
    await domains.define({ ...withNetworks(vm, OTHER), generation: vm.generation + 1 }, never);
    assert.deepEqual(await namesNow(), ['lan']);
    await domains.destroy(vm.uid, never);
    assert.deepEqual(await namesNow(), ['other']);
  });

  test('an interface that somebody else has taken away is told, and given back by defining the VM again', async () => {
    const { source, newDefinition, changeByHand } = use();
    const { domains } = source;
    const vm = withNetworks(newDefinition(), LAN);
    await domains.define(vm, never);
    const before = await domains.find(vm.uid, never);
    changeByHand(vm.uid, 'networks');
    assert.deepEqual((await domains.find(vm.uid, never))?.drift, ['networks']);
    await domains.define(vm, never);
    const after = await domains.find(vm.uid, never);
    assert.deepEqual([after?.drift, after?.interfaces], [[], before?.interfaces]);
  });
}

function withNetworks(vm: VmDefinition, ...networks: readonly Network[]): VmDefinition {
  const { template } = vm.spec;
  const machine = { ...template.spec, networks: [...networks] };
  return { ...vm, spec: { ...vm.spec, template: { ...template, spec: machine } } };
}
