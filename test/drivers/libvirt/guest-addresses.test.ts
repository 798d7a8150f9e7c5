import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { openHypervisor } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason } from './private-libvirt.ts';

/* Addresses that nobody in the guest has told: of a VM that somebody has made with virsh, as ours have no interfaces. */

const never = new AbortController().signal;
const MAC = '52:54:00:ab:cd:ef';

function foreignXml(uid: string): string {
  return `<domain type='qemu'>
    <name>foreign</name><uuid>${uid}</uuid><memory unit='MiB'>64</memory>
    <os><type arch='x86_64' machine='q35'>hvm</type></os>
    <devices>
      <interface type='bridge'><mac address='${MAC}'/><source bridge='br9'/><model type='virtio'/></interface>
    </devices>
  </domain>`;
}

test('who has spoken to the node has its address by the table of neighbours', {
  skip: skipReason(),
}, async () => {
  await using node = await PrivateLibvirt.start();
  await using hypervisor = await openHypervisor(node);
  node.run('ip', 'link', 'add', 'br9', 'type', 'bridge');
  node.run('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'br9');
  node.run('ip', 'link', 'set', 'br9', 'up');
  const uid = randomUUID();
  await node.defineXml(foreignXml(uid));
  node.virsh('start', 'foreign');
  const neighbour = ['192.0.2.7', 'lladdr', MAC, 'dev', 'br9', 'nud', 'reachable'];
  node.run('ip', 'neighbour', 'add', ...neighbour);
  assert.equal((await hypervisor.domains.find(uid, never))?.guestAgent, undefined);
  const sources = ['agent', 'lease', 'arp'] as const;
  const [agent, lease, arp] = await hypervisor.guestAgent.listAddresses(uid, sources, never);
  assert.equal(agent?.problem?.reason, 'GUEST_AGENT_NOT_CONNECTED');
  assert.match(agent.problem.message, /has no channel for a guest agent/);
  assert.equal(lease?.problem, undefined);
  if (canReadNeighbours(node)) {
    const addresses = [{ address: '192.0.2.7', prefixLength: 0 }];
    const found = arp?.value?.map((one) => [one.macAddress, one.addresses]);
    assert.deepEqual(found, [[MAC, addresses]]);
  } else {
    assert.equal(arp?.problem?.reason, 'FEATURE_NOT_SUPPORTED');
    assert.match(arp.problem.message, /update libvirt/);
  }
});

/** libvirt before 10 cannot on newer kernels. */
function canReadNeighbours(node: PrivateLibvirt): boolean {
  try {
    return node.virsh('domifaddr', 'foreign', '--source', 'arp').includes(MAC);
  } catch (error) {
    assert.match(String(error), /wrong nlmsg len|malformed netlink/);
    return false;
  }
}
