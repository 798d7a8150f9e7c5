import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Peers } from '../../../../src/agent/migration/peers.ts';
import type { VmPeer, VmSighting } from '../../../../src/agent/vms/vm-peers.ts';
import { wantedOf } from '../../../../src/agent/vms/wanted-definition.ts';
import { AgentError, hasReason, type Reason } from '../../../../src/core/errors.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import type { AdoptableVm } from '../../../../src/drivers/hypervisor-domains.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { expectTold } from '../events/eventful-node.ts';
import { done } from '../operations/asking-node.ts';
import { EVERYTHING, never, newRequest, OneNode } from './one-node.ts';

const DISK_PATH = '/images/web.qcow2';
const MACHINE: Partial<Machine> = {
  volumes: [
    {
      name: 'vda',
      kind: 'disk',
      bus: 'virtio',
      format: 'qcow2',
      target: 'vda',
      cache: 'writeback',
      discard: 'ignore',
      source: { file: { path: DISK_PATH } },
    },
  ],
};

interface Foreign extends AsyncDisposable {
  readonly node: OneNode;
  readonly vm: VmDefinition;
}

const nobody = () => assert.fail('Nobody is looked for by name');

/** A node with a VM that somebody else has made, which libvirt calls `web`. */
async function withForeign({
  isOn = true,
  facts = {},
  machine = MACHINE,
  peers,
}: {
  readonly isOn?: boolean;
  readonly facts?: Partial<AdoptableVm>;
  readonly machine?: Partial<Machine>;
  readonly peers?: Peers | undefined;
} = {}): Promise<Foreign> {
  const node = await OneNode.open(peers === undefined ? {} : { peers });
  const vm = tinyVm({}, machine);
  node.images.add(DISK_PATH, { format: 'qcow2' });
  await node.hypervisor.domains.define(vm, never);
  if (isOn) await node.hypervisor.domains.start(vm.uid, never);
  node.hypervisor.rename(vm.uid, 'web');
  node.hypervisor.addForeign(vm.uid, { kept: ['graphics spice', 'sound ich9'], ...facts });
  node.agent.run();
  await node.inventory.refresh(never);
  return { node, vm, [Symbol.asyncDispose]: () => node[Symbol.asyncDispose]() };
}

const WEB = { namespace: 'default', name: 'web', uid: undefined };
const adopt = (node: OneNode, vm = WEB, domain = 'web') =>
  done(node, { kind: 'adopt', vm, parameters: { domain } });

/** It is refused, by a dry run in the same words, and nothing has changed. */
async function refused(
  { node, vm }: Foreign,
  reason: Reason,
  words: RegExp,
  { ref = WEB, domain = 'web' } = {},
): Promise<void> {
  const before = node.hypervisor.calls.length;
  const planning = node.vms.planAdoption({ domain, vm: ref }, never);
  const error = await planning.then(
    () => undefined,
    (failure: unknown) => failure,
  );
  assert.ok(hasReason(error, reason), String(error));
  assert.match(error.message, words);
  await assert.rejects(adopt(node, ref, domain), (other) => {
    assert.ok(other instanceof AgentError);
    assert.equal(other.message, error.message);
    return true;
  });
  const changing = node.hypervisor.calls
    .slice(before)
    .filter((call) => /^(adopt|define|setFacts|start|destroy)/.test(call));
  assert.deepEqual(changing, []);
  assert.equal(node.ownership.find(vm.uid), undefined);
}

test('a VM that runs is adopted and runs on, with what no manifest can say told', async () => {
  await using foreign = await withForeign();
  const { node, vm } = foreign;
  const { state, warnings } = await adopt(node);
  assert.deepEqual([state, warnings], ['succeeded', []]);
  const found = await node.vms.get(WEB, never);
  assert.deepEqual(
    [found.definition.uid, found.definition.generation, found.definition.intent, found.phase],
    [vm.uid, 1, 'on', 'running'],
  );
  assert.equal(found.definition.spec.runStrategy, 'Manual');
  assert.deepEqual(found.definition.spec.template.spec, vm.spec.template.spec);
  assert.deepEqual(found.kept, ['graphics spice', 'sound ich9']);
  assert.deepEqual(found.pendingChanges, []);
  assert.ok(node.ownership.isOwner(vm.uid));
  assert.deepEqual(node.inventory.listForeign(), []);
  const starts = node.hypervisor.calls.filter((call) => /^(start|destroy|define) /.test(call));
  assert.equal(starts.length, 2, starts.join());
});

test('applying the manifest that an adopted VM has changes nothing, and another one that alone', async () => {
  await using foreign = await withForeign();
  const { node } = foreign;
  await adopt(node);
  const { definition } = await node.vms.get(WEB, never);
  const options = { dryRun: false, updateMask: undefined, generation: undefined };
  const same = await node.vms.apply(wantedOf(definition), options, never);
  assert.equal(same.outcome, 'unchanged');
  const { metadata, spec } = wantedOf(definition);
  const machine = spec.template.spec;
  const more = { ...machine, resources: { ...machine.resources, memory: '96Mi' } };
  const changed = await node.vms.apply(
    { metadata, spec: { ...spec, template: { spec: more } } },
    options,
    never,
  );
  assert.deepEqual(
    changed.changes.map(({ field, effect }) => [field, effect]),
    [['spec.template.spec.resources.memory', 'next-start']],
  );
});

test('a VM that is off stays off, and one that libvirt starts at boot is started by the agent then', async () => {
  await using foreign = await withForeign({ isOn: false, facts: { isAutostarted: true } });
  const { node } = foreign;
  const { warnings } = await adopt(node);
  assert.match(warnings.join(), /autostart.*RerunOnFailure/);
  const { definition, phase } = await node.vms.get(WEB, never);
  assert.deepEqual(
    [definition.spec.runStrategy, definition.intent, phase],
    ['RerunOnFailure', 'off', 'stopped'],
  );
});

test('a dry run shows the manifest and what is kept, and changes nothing', async () => {
  await using foreign = await withForeign();
  const { node, vm } = foreign;
  const { vm: planned } = await node.vms.planAdoption({ domain: 'web', vm: WEB }, never);
  assert.deepEqual(planned.definition.spec.template.spec, vm.spec.template.spec);
  assert.deepEqual(planned.kept, ['graphics spice', 'sound ich9']);
  assert.ok(node.hypervisor.foreignFacts(vm.uid) !== undefined);
  assert.equal(node.inventory.findByUid(vm.uid), undefined);
});

test('it can be given another name and namespace than libvirt has for it', async () => {
  await using foreign = await withForeign();
  const { node, vm } = foreign;
  await adopt(node, { namespace: 'office', name: 'shop', uid: undefined });
  const found = await node.hypervisor.domains.find(vm.uid, never);
  assert.deepEqual(
    [found?.definition?.namespace, found?.definition?.name, found?.hypervisorName],
    ['office', 'shop', 'web'],
  );
});

test('that it was adopted, and by whom, is told', async () => {
  await using foreign = await withForeign();
  const { node } = foreign;
  await adopt(node);
  await expectTold(node, ['Requested Adopt tester', 'Adopted tester']);
});

test('a name that libvirt does not have is refused', async () => {
  await using foreign = await withForeign();
  await refused(foreign, 'VM_NOT_FOUND', /no domain of that name.*: "web"$/, { domain: 'wbe' });
});

test('a name that no VM can have is refused, with the option that gives it another', async () => {
  await using foreign = await withForeign();
  foreign.node.hypervisor.rename(foreign.vm.uid, 'Web Server');
  const ref = { ...WEB, name: 'Web Server' };
  await refused(foreign, 'INVALID_REQUEST', /--name/, { ref, domain: 'Web Server' });
  const other = { ...WEB, namespace: 'Office' };
  await refused(foreign, 'INVALID_REQUEST', /--namespace/, { ref: other, domain: 'Web Server' });
});

test('a VM that is ours already is refused, and one whose name is taken', async () => {
  await using foreign = await withForeign();
  const { node } = foreign;
  const request = newRequest('ours', { runStrategy: 'Once' });
  await node.create(request);
  const taken = { namespace: request.metadata.namespace, name: 'ours', uid: undefined };
  await refused(foreign, 'VM_ALREADY_EXISTS', /has a VM ours.*--name/, { ref: taken });
  await adopt(node);
  await assert.rejects(adopt(node), (error) => hasReason(error, 'VM_ALREADY_EXISTS'));
});

const FACTS: readonly (readonly [string, Partial<AdoptableVm>, Reason, RegExp])[] = [
  [
    'whose memory is saved',
    { isSaved: true },
    'VM_NOT_ADOPTABLE',
    /virsh managedsave-remove [0-9a-f-]{36}/,
  ],
  ['that is being migrated', { isBusy: true }, 'VM_BUSY', /virsh domjobinfo [0-9a-f-]{36}/],
  ['of another architecture', { isOther: true }, 'VM_NOT_ADOPTABLE', /x86_64/],
  [
    'with nothing to boot that a manifest can say',
    { machine: { resources: { cpu: '1', memory: '64Mi' } } },
    'VM_NOT_ADOPTABLE',
    /none of its disks is one that a manifest can speak of/,
  ],
  [
    'with less memory than the node asks for',
    { machine: { resources: { cpu: '1', memory: '32Mi' }, volumes: MACHINE.volumes } },
    'INVALID_SPEC',
    /limits\.minMemory/,
  ],
];

for (const [what, facts, reason, words] of FACTS) {
  test(`one ${what} is refused`, async () => {
    await using foreign = await withForeign({ facts });
    await refused(foreign, reason, words);
  });
}

test('one that vanishes when it stops is refused', async () => {
  await using foreign = await withForeign();
  foreign.node.hypervisor.changeByHand(foreign.vm.uid, 'persistence');
  await refused(foreign, 'VM_NOT_ADOPTABLE', /transient.*virsh define/);
});

test('one that cannot be read is refused, with what to do about it', async () => {
  await using foreign = await withForeign();
  const { domains } = foreign.node.hypervisor;
  const broken = new AgentError(
    'HYPERVISOR_FAILURE',
    'Cannot read XML at 7: it has too many nodes',
  );
  domains.findAdoptable = () => Promise.reject(broken);
  await refused(foreign, 'VM_NOT_ADOPTABLE', /it has too many nodes.*virsh dumpxml/);
});

test('one whose disk the node does not let VMs have is refused, and one whose disk is in use', async () => {
  await using foreign = await withForeign();
  const { node } = foreign;
  const problem = {
    reason: 'IMAGE_NOT_ALLOWED',
    text: 'add its folder to images.folders',
  } as const;
  node.images.add(DISK_PATH, { format: 'qcow2', problem });
  await refused(foreign, 'IMAGE_NOT_ALLOWED', /images\.folders/);
  const holders = [{ pid: 7, program: 'qemu', vmUid: 'another', vmName: 'db' }];
  node.images.add(DISK_PATH, { format: 'qcow2', holders });
  await refused(foreign, 'IMAGE_IN_USE', /db/);
});

test('one that shares a disk with a VM of ours is refused, be that off', async () => {
  await using foreign = await withForeign();
  const { node } = foreign;
  const { volumes = [] } = MACHINE;
  const request = newRequest('ours', { runStrategy: 'Halted', machine: { volumes } });
  await node.create(request);
  await refused(foreign, 'IMAGE_IN_USE', /web\.qcow2 \(vda\) is a disk of VM .*\/ours too/);
});

test('one that another node has is refused', async () => {
  const sighting: VmSighting = {
    presence: 'held',
    isOwner: true,
    isRunning: true,
    ownershipEpoch: 1,
  };
  const peer: VmPeer = {
    nodeName: 'b',
    locate: async () => sighting,
    handOver: () => Promise.reject(new Error('Nobody asks for that')),
  };
  const peers: Peers = { list: () => [peer], find: nobody, visit: nobody };
  await using foreign = await withForeign({ peers });
  const { node, vm } = foreign;
  const planning = node.vms.planAdoption({ domain: 'web', vm: WEB }, never);
  await assert.rejects(planning, /Cannot adopt "web": node b has a VM with uid/);
  const { state, error } = await adopt(node);
  assert.deepEqual([state, error?.reason], ['failed', 'VM_ALREADY_EXISTS']);
  assert.equal(node.ownership.find(vm.uid), undefined);
});

test('a copy that another host owns is refused', async () => {
  await using foreign = await withForeign();
  const { node, vm } = foreign;
  const copy = tinyVm({ owner: 'another-host', name: 'copy' });
  await node.hypervisor.domains.define(copy, never);
  node.hypervisor.rename(copy.uid, 'copy');
  await node.inventory.refresh(never);
  const ref = { ...WEB, name: 'copy' };
  await refused({ ...foreign, vm: copy }, 'VM_NOT_OWNED', /another node's agent owns/, {
    ref,
    domain: 'copy',
  });
  assert.equal(node.ownership.find(vm.uid), undefined);
});

test('one that has left this node for another is refused', async () => {
  await using foreign = await withForeign();
  const { node, vm } = foreign;
  await node.ownership.release({ ...vm, namespace: 'default', name: 'web' }, 4, 'b');
  const planning = node.vms.planAdoption({ domain: 'web', vm: WEB }, never);
  await assert.rejects(planning, (error) => {
    assert.ok(hasReason(error, 'VM_NOT_OWNED'));
    assert.match(error.message, /^Cannot adopt "web": node b owns it since epoch 4/);
    return true;
  });
});

test('the way back leaves a VM alone, and it can be adopted again', async () => {
  await using foreign = await withForeign();
  const { node, vm } = foreign;
  await adopt(node);
  node.hypervisor.addForeign(vm.uid);
  await node.inventory.refresh(never);
  assert.equal(node.inventory.findByUid(vm.uid), undefined);
  assert.equal((await node.hypervisor.domains.find(vm.uid, never))?.state, 'running');
  const { state } = await adopt(node);
  assert.equal(state, 'succeeded');
  const { definition } = await node.vms.get(WEB, never);
  assert.deepEqual([definition.ownershipEpoch, definition.intent], [2, 'on']);
});

test('two who adopt it at once get one VM, and two VMs one name', async () => {
  await using foreign = await withForeign();
  const { node, vm } = foreign;
  const second = tinyVm({}, { kernel: { path: '/boot/vmlinuz' } });
  await node.hypervisor.domains.define(second, never);
  node.hypervisor.rename(second.uid, 'other');
  node.hypervisor.addForeign(second.uid);
  await node.inventory.refresh(never);
  const ends = await Promise.allSettled([
    adopt(node),
    adopt(node),
    adopt(node, WEB, 'other'),
    adopt(node, { ...WEB, name: 'shop' }),
  ]);
  const wellEnded = ends.filter(
    (end) => end.status === 'fulfilled' && end.value.state === 'succeeded',
  );
  // The same request again is the same operation.
  assert.ok(wellEnded.length >= 1);
  const found = await Promise.all(
    [vm, second].map(({ uid }) => node.hypervisor.domains.find(uid, never)),
  );
  const names = found.map((one) => one?.definition?.name);
  assert.equal(names.filter((name) => name === 'web').length, 1, names.join());
  assert.equal(
    node.inventory.list(EVERYTHING).length,
    names.filter((name) => name !== undefined).length,
  );
});

test('one that is changed between the look and the deed is looked at again', async () => {
  await using foreign = await withForeign();
  const { node, vm } = foreign;
  const { domains } = node.hypervisor;
  const deed = domains.adopt.bind(domains);
  let isFirst = true;
  const { template } = vm.spec;
  const machine = { ...template.spec, resources: { cpu: '2', memory: '64Mi' } };
  domains.adopt = async (definition, signal) => {
    if (isFirst) {
      await domains.define({ ...vm, spec: { ...vm.spec, template: { spec: machine } } }, never);
    }
    isFirst = false;
    await deed(definition, signal);
  };
  const { state } = await adopt(node);
  assert.equal(state, 'succeeded');
  const { definition } = await node.vms.get(WEB, never);
  assert.equal(definition.spec.template.spec.resources.cpu, '2');
});
