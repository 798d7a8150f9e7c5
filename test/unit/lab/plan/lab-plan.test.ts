import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planLab } from '../../../../lab/plan/lab-plan.ts';

test('both nodes of a lab are hosts of one /30 network, and labs have different ones', () => {
  const networks = new Set<string>();
  for (let i = 0; i < 200; i += 1) {
    const [a, b] = planLab(`t-${i}`, ['a', 'b']).nodes;
    const hosts = [a?.address, b?.address].map((address) => Number(address?.split('.')[3]) % 4);
    assert.deepEqual(hosts, [1, 2]);
    assert.match(a?.address ?? '', /^10\.\d{1,3}\.\d{1,3}\.\d{1,3}$/);
    networks.add(a?.address ?? '');
  }
  assert.equal(networks.size, 200);
});

function networkOf(address: string): string {
  return address.split('.').slice(0, 3).join('.');
}

test('the network of the VMs is another one, with an address and a MAC for each node', () => {
  for (let i = 0; i < 200; i += 1) {
    const [a, b] = planLab(`t-${i}`, ['a', 'b']).nodes;
    assert.ok(a !== undefined && b !== undefined);
    const { first, last } = a.bridge.leases;
    const all = [a.bridge.address, b.bridge.address, first, last].map(networkOf);
    assert.equal(new Set(all).size, 1);
    assert.notEqual(networkOf(a.address), all[0]);
    assert.deepEqual(a.bridge.leases, b.bridge.leases);
    assert.notEqual(a.bridge.address, b.bridge.address);
    for (const { bridge } of [a, b]) assert.match(bridge.mac, /^02:00:0a(:[0-9a-f]{2}){3}$/);
    assert.notEqual(a.bridge.mac, b.bridge.mac);
  }
});

test('the deepest socket of a node fits into a unix address', () => {
  const [a] = planLab('t-012345', ['a']).nodes;
  const monitor = '/var/lib/libvirt/qemu/domain-1000-00000000-0000-0000/monitor.sock';
  assert.ok(`${a?.directory}${monitor}`.length <= 107);
});
