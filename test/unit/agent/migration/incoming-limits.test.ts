import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { AgentError } from '../../../../src/core/errors.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { incomingOf } from './incoming-vm.ts';
import { never, TwoNodes } from './two-nodes.ts';

/** Asks the destination what is against the VM, and to get ready for it. */
async function reasonsAgainst(nodes: TwoNodes): Promise<readonly string[]> {
  const { incoming } = nodes.destination.agent;
  const blockers = await incoming.check(incomingOf(nodes), 'a', never);
  const request = { migrationId: nodes.id, incoming: incomingOf(nodes), transferToken: 'ab' };
  const [first] = blockers;
  if (first === undefined) await incoming.prepare(request, 'a', never);
  else await assert.rejects(incoming.prepare(request, 'a', never), { reason: first.reason });
  return blockers.map(({ reason }) => reason);
}

/** Has the destination keep the VM's name for the VM of a uid. */
async function reserve(nodes: TwoNodes, uid: string | undefined): Promise<void> {
  const { inventory, node } = nodes.destination.agent;
  await inventory.refresh(never);
  const { namespace, name, spec } = nodes.vm;
  const vm = { namespace, name, uid };
  await node.reserve({ id: randomUUID(), vm, machine: spec.template.spec, ttlMs: 60_000 });
}

test('a cordoned node takes no VM from another, and one from which they leave may be cordoned', async () => {
  using nodes = await TwoNodes.open();
  const cordon = { cordon: true, cordonReason: 'new disks' };
  await nodes.source.agent.cordon.update(cordon, undefined);
  await nodes.destination.agent.cordon.update(cordon, undefined);
  assert.deepEqual(await reasonsAgainst(nodes), ['NODE_CORDONED']);
  await nodes.destination.agent.cordon.update({ cordon: false }, undefined);
  assert.deepEqual(await reasonsAgainst(nodes), []);
});

test('a VM does not come to a node that is cordoned while it is checked', async () => {
  using nodes = await TwoNodes.open();
  const { agent } = nodes.destination;
  const validate = agent.validator.validateIncoming.bind(agent.validator);
  agent.validator.validateIncoming = async (...check) => {
    await agent.cordon.update({ cordon: true }, undefined);
    await validate(...check);
  };
  const request = { migrationId: nodes.id, incoming: incomingOf(nodes), transferToken: 'ab' };
  const refused = { reason: 'NODE_CORDONED' };
  await assert.rejects(agent.incoming.prepare(request, 'a', never), refused);
  assert.equal(agent.locks.purposeOf(nodes.vm.uid), undefined);
  assert.deepEqual(agent.capacity.allocated(), {});
  assert.equal(nodes.destination.record(nodes.id), undefined);
});

test('a VM does not come to a node on which the socket of the hypervisor is not found', async () => {
  using nodes = await TwoNodes.open();
  nodes.destination.hypervisor.host.incomingSocket = { problem: 'none of /a, /b is a socket' };
  assert.deepEqual(await reasonsAgainst(nodes), ['FEATURE_NOT_SUPPORTED']);
  nodes.destination.hypervisor.host.incomingSocket = { path: '/b' };
  assert.deepEqual(await reasonsAgainst(nodes), []);
  const services = nodes.destination.transfers.requests[0]?.services ?? [];
  assert.equal(services.find(({ name }) => name === 'libvirt')?.path, '/b');
});

test('a VM that was renamed by hand does not come where the hypervisor has another of that name', async () => {
  using nodes = await TwoNodes.open();
  const { domains } = nodes.destination.hypervisor;
  const other = tinyVm({ name: 'sched' });
  await domains.define(other, never);
  const incoming = incomingOf(nodes, { hypervisorName: 'test_sched' });
  const check = () => nodes.destination.agent.incoming.check(incoming, 'a', never);
  const [blocker, ...more] = await check();
  assert.deepEqual([blocker?.reason, more], ['VM_ALREADY_EXISTS', []]);
  assert.match(
    blocker?.message ?? '',
    new RegExp(`test_sched.*${other.uid}.*VM test/sched.*domrename`),
  );
  // Whoever has made it.
  nodes.destination.hypervisor.addForeign(other.uid);
  assert.match((await check())[0]?.message ?? '', new RegExp(`\\(${other.uid}\\); shut one`));
  await domains.undefine(other.uid, never);
  assert.deepEqual(await check(), []);
});

for (const by of ['uid', 'name'] as const) {
  test(`a VM does not come where a stale copy has its ${by}, and how to be rid of that is said`, async () => {
    using nodes = await TwoNodes.open();
    const { agent, hypervisor } = nodes.destination;
    const { uid, name } = nodes.vm;
    const copy = tinyVm({ name, ...(by === 'uid' ? { uid } : {}), ownershipEpoch: 1 });
    await hypervisor.domains.define(copy, never);
    await agent.ownership.release(copy, 2, 'a');
    await agent.inventory.refresh(never);
    const incoming = incomingOf(nodes);
    const [blocker] = await agent.incoming.check(
      { ...incoming, definition: { ...incoming.definition, ownershipEpoch: 3 } },
      'a',
      never,
    );
    assert.equal(blocker?.reason, 'VM_ALREADY_EXISTS');
    assert.match(blocker.message, /novactl vm delete test\/web --unowned-copy first$/);
  });
}

test('a plan names the real name of a VM that was renamed by hand', async () => {
  using nodes = await TwoNodes.open();
  const other = tinyVm({ name: 'sched' });
  await nodes.destination.hypervisor.domains.define(other, never);
  nodes.source.hypervisor.rename(nodes.vm.uid, 'test_sched');
  const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
  assert.deepEqual(
    blockers.map(({ reason, nodeName }) => [reason, nodeName]),
    [['VM_ALREADY_EXISTS', 'b']],
  );
});

test('a VM whose CPU the destination does not have is not taken, and the features are named', async () => {
  using nodes = await TwoNodes.open();
  const { host } = nodes.destination.hypervisor;
  host.cpuProblem = 'Host CPU does not provide required features: avx512f';
  const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
  assert.deepEqual(
    blockers.map(({ reason, subject }) => [reason, subject]),
    [['CPU_INCOMPATIBLE', 'spec.template.spec.cpu.model']],
  );
  assert.match(blockers[0]?.message ?? '', /avx512f; give it a model that all its nodes have/);
  // One that says nothing of its CPU, as an older agent's, is not asked about.
  const silent = incomingOf(nodes, { cpu: '' });
  assert.deepEqual(await nodes.destination.agent.incoming.check(silent, 'a', never), []);
});

test('a VM does not come where VMs of somebody else have the memory, which the plan names', async () => {
  using nodes = await TwoNodes.open();
  const { hypervisor, agent } = nodes.destination;
  const resources = { cpu: '1', memory: '16200Mi' };
  const theirs = tinyVm({ name: 'theirs' }, { resources });
  await hypervisor.domains.define(theirs, never);
  await hypervisor.domains.start(theirs.uid, never);
  hypervisor.addForeign(theirs.uid);
  await agent.inventory.refresh(never);
  assert.deepEqual(await reasonsAgainst(nodes), ['NODE_CAPACITY_EXCEEDED']);
  const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
  assert.match(blockers[0]?.message ?? '', /VMs that were not made by an agent have .*test_theirs/);
});

test('a VM does not come in under a name that is reserved for another', async () => {
  for (const uid of [undefined, randomUUID()]) {
    using nodes = await TwoNodes.open();
    await reserve(nodes, uid);
    assert.deepEqual(await reasonsAgainst(nodes), ['VM_BUSY']);
  }
});

test('a VM for which a part of the node is reserved comes in, and is counted once', async () => {
  using nodes = await TwoNodes.open();
  await reserve(nodes, nodes.vm.uid);
  const { capacity } = nodes.destination.agent;
  const before = capacity.allocated();
  assert.deepEqual(await reasonsAgainst(nodes), []);
  assert.deepEqual(capacity.allocated(), before);
});

/** What the destination says against a VM that an agent of another version has accepted. */
async function fieldsAgainst(nodes: TwoNodes, machine: Partial<Machine>) {
  const { incoming } = nodes.destination.agent;
  const definition = tinyVm({ name: 'newer' }, machine);
  const blockers = await incoming.check(incomingOf(nodes, { definition }), 'a', never);
  return blockers.map(({ reason, subject }) => `${reason} ${subject}`);
}

test('every field that only the agent it comes from can carry out keeps a VM away', async () => {
  using nodes = await TwoNodes.open();
  const against = await fieldsAgainst(nodes, {
    networks: [{ name: 'lan', type: 'ovs' }],
    devices: [{ type: 'gpu' }],
    memory: { hugepages: '2Mi' },
    console: { log: false },
    // Without effect on any node.
    nodeSelector: { zone: 'north' },
  });
  assert.deepEqual(against, [
    'NOT_SUPPORTED spec.template.spec.networks[0].type',
    'NOT_SUPPORTED spec.template.spec.devices',
    'NOT_SUPPORTED spec.template.spec.console.log',
    // The node has none to give.
    'NODE_CAPACITY_EXCEEDED spec.template.spec.memory.hugepages',
  ]);
  assert.deepEqual(await fieldsAgainst(nodes, { nodeSelector: { zone: 'north' } }), []);
});

test('a node without the firmware of a VM keeps it away, and says what to install', async () => {
  using nodes = await TwoNodes.open();
  const firmware = { type: 'uefi', secureBoot: true, tpm: { version: '2.0' } } as const;
  assert.deepEqual(await fieldsAgainst(nodes, { firmware }), []);
  for (const part of ['secureBoot', 'tpm'] as const) {
    nodes.destination.hypervisor.host.lacking = [part];
    assert.deepEqual(await fieldsAgainst(nodes, { firmware }), [
      `FEATURE_NOT_SUPPORTED spec.template.spec.firmware.${part}`,
    ]);
  }
});

test('a node whose hypervisor has no NVMe disks keeps a VM with one away', async () => {
  using nodes = await TwoNodes.open();
  const { host } = nodes.destination.hypervisor;
  const disk = { name: 'root', kind: 'disk', format: 'raw', cache: 'none' } as const;
  const volumes = [{ ...disk, bus: 'nvme' as const, source: { file: { path: '/images/none' } } }];
  const field = 'FEATURE_NOT_SUPPORTED spec.template.spec.volumes[0].bus';
  assert.ok((await fieldsAgainst(nodes, { volumes })).includes(field));
  for (const buses of [['nvme', 'virtio'], undefined]) {
    host.diskBuses = buses;
    assert.ok(!(await fieldsAgainst(nodes, { volumes })).includes(field));
  }
});

async function fieldsOf(nodes: TwoNodes): Promise<readonly string[]> {
  const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
  return blockers.map(({ reason, subject }) => `${reason} ${subject}`);
}

test('a VM that runs with CPUs for itself stays, and one that only will at its next start may go', async () => {
  const dedicated = { cpu: { dedicated: true } } as const;
  {
    using nodes = await TwoNodes.open({}, dedicated);
    assert.deepEqual(
      (await fieldsOf(nodes))[0],
      'MIGRATION_BLOCKED spec.template.spec.cpu.dedicated',
    );
  }
  using nodes = await TwoNodes.open();
  const { template } = nodes.vm.spec;
  const spec = { ...nodes.vm.spec, template: { spec: { ...template.spec, ...dedicated } } };
  await nodes.source.hypervisor.domains.define({ ...nodes.vm, spec }, never);
  assert.ok(!(await fieldsOf(nodes)).some((field) => field.startsWith('MIGRATION_BLOCKED')));
});

test('guests of which some memory would be lost on the way stay', async () => {
  using nodes = await TwoNodes.open();
  for (const [cause, subject] of [
    ['hugepages', 'spec.template.spec.memory.hugepages'],
    ['growth', 'spec.template.spec.memory.max'],
    ['start', ''],
  ] as const) {
    nodes.source.hypervisor.obstacles = [{ kind: 'lossy-memory', cause }];
    const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
    const found = blockers.map((blocker) => [blocker.reason, blocker.subject]);
    assert.deepEqual(found, [['MIGRATION_BLOCKED', subject]]);
  }
});

test('a node without what the board of a VM has keeps it away', async () => {
  using nodes = await TwoNodes.open();
  const watchdog = { model: 'itco', action: 'reset' } as const;
  const machine = { watchdog, vsock: {}, hyperv: { enabled: true }, memory: { max: '8Gi' } };
  assert.deepEqual(await fieldsAgainst(nodes, machine), []);
  for (const field of ['watchdog.model', 'vsock', 'hyperv', 'memory.max'] as const) {
    nodes.destination.hypervisor.host.lackingParts = [field];
    assert.deepEqual(await fieldsAgainst(nodes, machine), [
      `FEATURE_NOT_SUPPORTED spec.template.spec.${field}`,
    ]);
  }
});

test('a node that cannot give a VM its CPU features keeps it away', async () => {
  using nodes = await TwoNodes.open();
  assert.deepEqual(await fieldsAgainst(nodes, { cpu: { features: ['+aes', '-svm'] } }), []);
  assert.deepEqual(await fieldsAgainst(nodes, { cpu: { features: ['+no-such'] } }), [
    'CPU_INCOMPATIBLE spec.template.spec.cpu.features',
  ]);
});

test('the bridges that a VM is to be on, and those that it runs on, must be on both nodes', async () => {
  const lan = { name: 'lan', type: 'bridge', bridge: 'br0' } as const;
  using nodes = await TwoNodes.open({}, { networks: [{ ...lan, bridge: 'br1' }] });
  // It runs on br1 until it can be moved to the other, or its next start.
  nodes.source.hypervisor.deviceProblem = new AgentError('HYPERVISOR_REFUSED', 'Not now');
  const { template } = nodes.vm.spec;
  const spec = { ...nodes.vm.spec, template: { spec: { ...template.spec, networks: [lan] } } };
  await nodes.source.hypervisor.domains.define({ ...nodes.vm, spec }, never);
  const plan = async () => {
    const { blockers } = await nodes.source.agent.migrations.plan(nodes.spec, never);
    return blockers.map(({ reason, subject, nodeName, message }) => ({
      said: `${reason} ${subject} ${nodeName}`,
      message,
    }));
  };
  const [only, ...others] = await plan();
  assert.deepEqual(others, []);
  assert.equal(only?.said, 'NETWORK_NOT_FOUND status.interfaces b');
  assert.match(
    only?.message ?? '',
    /on the bridge br1, and this node has only br0; make br1 there/,
  );
  nodes.destination.bridges.remove('br0');
  assert.deepEqual(
    (await plan()).map(({ said }) => said),
    [
      'NETWORK_NOT_FOUND spec.template.spec.networks[0].bridge b',
      'NETWORK_NOT_FOUND status.interfaces b',
    ],
  );
  nodes.destination.bridges.add('br0');
  nodes.destination.bridges.add('br1');
  assert.deepEqual(await plan(), []);
});
