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

test('the deepest socket of a node fits into a unix address', () => {
  const [a] = planLab('t-012345', ['a']).nodes;
  const monitor = '/var/lib/libvirt/qemu/domain-1000-00000000-0000-0000/monitor.sock';
  assert.ok(`${a?.directory}${monitor}`.length <= 107);
});
