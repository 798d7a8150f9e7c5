import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import {
  DefinitionValidator,
  type DefinitionValidatorOptions,
} from '../../../../src/agent/vms/definition-validator.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { macOf } from '../../../../src/core/resources/mac-address.ts';
import {
  parseVirtualMachine,
  type WantedVm,
} from '../../../../src/core/resources/parse-virtual-machine.ts';
import type { ImageHolder } from '../../../../src/drivers/images.ts';
import { TCG } from '../../../fakes/fake-boot-probe.ts';
import { FakeBridges } from '../../../fakes/fake-bridges.ts';
import { FakeHookRunner } from '../../../fakes/fake-hook-runner.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { FakeImages } from '../../../fakes/fake-images.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { never } from './one-node.ts';

type Fields = Readonly<Record<string, unknown>>;

const MACHINE = 'spec.template.spec';
const RESOURCES = { cpu: '1', memory: '64Mi' };
const ROOT = { name: 'root', format: 'raw', source: { file: { path: '/images/root.img' } } };

/** On a bridge that there is. */
const BRIDGED = { name: 'lan', type: 'bridge', bridge: 'br0' };

/** A validator on a node with a few files and two bridges, for VMs of 64 MiB or more. */
function newValidator(parts: Partial<DefinitionValidatorOptions> = {}) {
  const images = new FakeImages();
  images.add('/boot/vmlinuz');
  images.add('/images/root.img', { behind: ['/images/base.img'] });
  images.add('/images/base.img');
  images.add('/images/other.vmdk', { format: 'vmdk' });
  images.add('/images/other.img');
  images.add('/images/vault.img', { format: 'luks' });
  images.add('/images/root.qcow2', { format: 'qcow2' });
  images.add('/images', {
    kind: 'other',
    format: '',
    problem: { reason: 'IMAGE_INVALID', text: 'it is neither; name an image' },
  });
  images.add('/images/closed.img', {
    problem: { reason: 'IMAGE_NOT_READABLE', text: '/images is closed' },
  });
  images.add('/dev/vg/root', { kind: 'block-device' });
  const { host } = new FakeHypervisor();
  return new DefinitionValidator({
    host,
    images,
    bridges: new FakeBridges('br0', 'br1'),
    hooks: new FakeHookRunner(),
    accelerator: TCG,
    minMemory: '64Mi',
    capacity: { 'hugepages-2Mi': 2 ** 30, 'dedicated-cpus': 2 },
    nameOf: () => undefined,
    ...parts,
  });
}

/** A VM of one good volume, with other fields of the machine and the spec. */
function wanted(machine: Fields, spec: Fields = {}): WantedVm {
  const template = { spec: { resources: RESOURCES, volumes: [ROOT], ...machine } };
  return parseVirtualMachine({ metadata: { name: 'web' }, spec: { ...spec, template } });
}

function withSource(source: Fields, more: Fields = {}): WantedVm {
  return wanted({ volumes: [ROOT, { name: 'data', format: 'raw', ...more, source }] });
}

async function refusalOf(attempt: Promise<unknown>): Promise<AgentError> {
  const error: unknown = await attempt.then(
    () => assert.fail('It was accepted'),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof AgentError, String(error));
  return error;
}

const fieldsOf = ({ violations }: AgentError) => violations.map(({ field }) => field);

interface Refusal {
  readonly what: string;
  readonly vm: WantedVm;
  readonly reason: string;
  readonly field: string;
  readonly says: RegExp;
}

const DATA = `${MACHINE}.volumes[1]`;

const REFUSALS: readonly Refusal[] = [
  {
    what: 'a volume on a bus that libvirt of this node does not have',
    vm: wanted({ volumes: [{ ...ROOT, bus: 'nvme' }] }),
    reason: 'FEATURE_NOT_SUPPORTED',
    field: `${MACHINE}.volumes[0].bus`,
    says: /is nvme, which libvirt 9\.0\.0 of this node does not have \(it came with 11\.5\)/,
  },
  {
    what: 'a volume whose file is missing',
    vm: withSource({ file: { path: '/images/none.img' } }),
    reason: 'IMAGE_NOT_FOUND',
    field: `${DATA}.source.file.path`,
    says: /\/images\/none\.img, which does not exist on this node/,
  },
  {
    what: 'a volume whose block device is missing',
    vm: withSource({ block: { path: '/dev/vg/none' } }),
    reason: 'IMAGE_NOT_FOUND',
    field: `${DATA}.source.block.path`,
    says: /\/dev\/vg\/none, which does not exist on this node/,
  },
  {
    what: 'a CPU model that the node cannot give',
    vm: wanted({ cpu: { model: 'no-such-cpu' } }),
    reason: 'CPU_INCOMPATIBLE',
    field: `${MACHINE}.cpu.model`,
    says: /is no-such-cpu, .*Unknown CPU model no-such-cpu; choose another model/,
  },
  {
    what: 'more huge pages than the node has',
    vm: wanted({ resources: { cpu: '1', memory: '1025Mi' }, memory: { hugepages: '2Mi' } }),
    reason: 'NODE_CAPACITY_EXCEEDED',
    field: `${MACHINE}.memory.hugepages`,
    says: /needs 1026Mi in pages of 2Mi, of which this node has 1Gi in all; reserve them/,
  },
  {
    what: 'huge pages of a size that the node has none of',
    vm: wanted({ resources: { cpu: '1', memory: '64Mi' }, memory: { hugepages: '1Gi' } }),
    reason: 'NODE_CAPACITY_EXCEEDED',
    field: `${MACHINE}.memory.hugepages`,
    says: /needs 1Gi in pages of 1Gi, of which this node has none; reserve them/,
  },
  {
    what: 'more CPUs for it alone than the node sets apart',
    vm: wanted({ resources: { cpu: '3', memory: '64Mi' }, cpu: { dedicated: true } }),
    reason: 'NODE_CAPACITY_EXCEEDED',
    field: `${MACHINE}.cpu.dedicated`,
    says: /needs 3 CPUs for the VM alone, and this node sets 2 apart; name more there/,
  },
  {
    what: 'a CPU feature that the node cannot give',
    vm: wanted({ cpu: { features: ['+aes', '+no-such'] } }),
    reason: 'CPU_INCOMPATIBLE',
    field: `${MACHINE}.cpu.features`,
    says: /is \+aes, \+no-such, .*Unknown CPU feature no-such; take out what is lacking/,
  },
  {
    what: 'a volume of another format than its file',
    vm: withSource({ file: { path: '/images/other.img' } }, { format: 'qcow2' }),
    reason: 'IMAGE_INVALID',
    field: `${DATA}.format`,
    says: /is qcow2, but \/images\/other\.img is raw; .*qemu-img convert -O qcow2/,
  },
  {
    what: 'a volume of a format that no VM can be given',
    vm: withSource({ file: { path: '/images/other.vmdk' } }, { format: 'qcow2' }),
    reason: 'IMAGE_INVALID',
    field: `${DATA}.format`,
    says: /is qcow2, but \/images\/other\.vmdk is vmdk; convert it with: qemu-img convert -O qcow2/,
  },
  {
    what: 'a volume that another of the VM stands on',
    vm: withSource({ file: { path: '/images/base.img' } }),
    reason: 'INVALID_SPEC',
    field: `${DATA}.source.file.path`,
    says: /is \/images\/base\.img, on which the image of spec\.template\.spec\.volumes\[0\]\.source\.file\.path stands/,
  },
  {
    what: 'a volume that is a directory',
    vm: withSource({ file: { path: '/images' } }),
    reason: 'IMAGE_INVALID',
    field: `${DATA}.source.file.path`,
    says: /\/images, which cannot be used: it is neither; name an image/,
  },
  {
    what: 'a volume that the node may not give',
    vm: withSource({ file: { path: '/images/closed.img' } }),
    reason: 'IMAGE_NOT_READABLE',
    field: `${DATA}.source.file.path`,
    says: /\/images\/closed\.img, which cannot be used: \/images is closed/,
  },
  {
    what: 'a block device that is named as a file',
    vm: withSource({ file: { path: '/dev/vg/root' } }),
    reason: 'IMAGE_INVALID',
    field: `${DATA}.source.file.path`,
    says: /is a block device; name it as source\.block/,
  },
  {
    what: 'a file that is named as a block device',
    vm: withSource({ block: { path: '/images/root.qcow2' } }),
    reason: 'IMAGE_INVALID',
    field: `${DATA}.source.block.path`,
    says: /is no block device; name it as source\.file/,
  },
  {
    what: 'a kernel that is missing',
    vm: wanted({ kernel: { path: '/boot/none' } }),
    reason: 'IMAGE_NOT_FOUND',
    field: `${MACHINE}.kernel.path`,
    says: /\/boot\/none, which does not exist on this node/,
  },
  {
    what: 'a kernel that is a directory',
    vm: wanted({ kernel: { path: '/images' } }),
    reason: 'IMAGE_INVALID',
    field: `${MACHINE}.kernel.path`,
    says: /\/images, which cannot be used: it is no plain file/,
  },
  {
    what: 'an initial RAM disk that is missing',
    vm: wanted({ kernel: { path: '/boot/vmlinuz', initrd: '/boot/none' } }),
    reason: 'IMAGE_NOT_FOUND',
    field: `${MACHINE}.kernel.initrd`,
    says: /\/boot\/none, which does not exist on this node/,
  },
  {
    what: 'less memory than the node asks for',
    vm: wanted({ resources: { cpu: '1', memory: '63Mi' } }),
    reason: 'INVALID_SPEC',
    field: `${MACHINE}.resources.memory`,
    says: /must be at least 64Mi, not 63Mi; .*limits\.minMemory/,
  },
  {
    what: 'a machine type that QEMU does not have',
    vm: wanted({ machineType: 'pc-q35-99.0' }),
    reason: 'FEATURE_NOT_SUPPORTED',
    field: `${MACHINE}.machineType`,
    says: /is pc-q35-99\.0, which QEMU 7\.2\.22 of this node does not have/,
  },
];

for (const { what, vm, reason, field, says } of REFUSALS) {
  test(`${what} is refused by the name of its field`, async () => {
    const error = await refusalOf(newValidator().validate(vm, { isStarted: true }, never));
    assert.equal(error.reason, reason);
    assert.deepEqual(fieldsOf(error), [field]);
    assert.match(error.violations[0]?.description ?? '', says);
    assert.equal(
      error.message,
      `Cannot accept VM "web": ${field} ${error.violations[0]?.description}`,
    );
  });
}

/** What manifests may say and the agent cannot do yet, by the field that is refused. */
const NOT_YET: Readonly<Record<string, WantedVm>> = {
  [`${MACHINE}.image.source`]: wanted({ image: { source: 'pvc://vms/web' }, volumes: [] }),
  [`${MACHINE}.networks[0].type`]: wanted({ networks: [{ name: 'lan', type: 'ovs' }] }),
  [`${MACHINE}.networks[0].ipv4.method`]: wanted({
    networks: [{ ...BRIDGED, ipv4: { method: 'static', address: '10.0.0.2/24' } }],
  }),
  [`${MACHINE}.devices`]: wanted({ devices: [{ type: 'gpu' }] }),
  [`${MACHINE}.console.log`]: wanted({ console: { log: false } }),
  [`${MACHINE}.volumes[0].storageClass`]: wanted({ volumes: [{ ...ROOT, storageClass: 'fast' }] }),
  [`${MACHINE}.volumes[0].source.volume`]: wanted({
    volumes: [{ name: 'data', source: { volume: { name: 'kept' } } }],
  }),
  'spec.migrationPolicy.encrypted': wanted({}, { migrationPolicy: { encrypted: false } }),
  'spec.snapshotPolicy': wanted({}, { snapshotPolicy: { schedule: '0 2 * * *' } }),
  'spec.updateStrategy.type': wanted({}, { updateStrategy: { type: 'Recreate' } }),
};

for (const [field, vm] of Object.entries(NOT_YET)) {
  test(`${field} is not supported yet`, async () => {
    const error = await refusalOf(newValidator().validate(vm, { isStarted: true }, never));
    assert.equal(error.reason, 'NOT_SUPPORTED');
    assert.deepEqual(fieldsOf(error), [field]);
    assert.match(error.violations[0]?.description ?? '', /^is not supported: .+; .+/);
  });
}

test('a question that its caller gives up while files are looked at ends with that, and nothing else does', async () => {
  const images = new FakeImages();
  images.find = () => Promise.reject(new Error('gone at once'));
  // Nobody would hear of it who has stopped at the first.
  images.findBootFile = () => Promise.reject(new Error('gone as well'));
  const { host } = new FakeHypervisor();
  const validator = newValidator({ images, host });
  const vm = wanted({ kernel: { path: '/boot/vmlinuz' }, volumes: [ROOT] });
  const unheard: unknown[] = [];
  const hear = (error: unknown) => void unheard.push(error);
  process.on('unhandledRejection', hear);
  await assert.rejects(validator.validate(vm, { isStarted: true }, never), /gone/);
  await new Promise((resolve) => setImmediate(resolve));
  process.off('unhandledRejection', hear);
  assert.deepEqual(unheard, []);
});

test('all that is wrong is said at once, the weightiest first', async () => {
  const vm = wanted({
    resources: { cpu: '1', memory: '1Mi' },
    devices: [{ type: 'gpu' }],
    machineType: 'pc-q35-99.0',
    networks: [{ name: 'lan', type: 'ovs' }],
  });
  const error = await refusalOf(newValidator().validate(vm, { isStarted: true }, never));
  assert.equal(error.reason, 'INVALID_SPEC');
  assert.deepEqual(fieldsOf(error), [
    `${MACHINE}.resources.memory`,
    `${MACHINE}.networks[0].type`,
    `${MACHINE}.devices`,
    `${MACHINE}.machineType`,
  ]);
  assert.match(error.message, /^Cannot accept VM "web": spec\.template\.spec\.resources\.memory /);
  assert.match(error.message, / \(and 3 more problems\)$/);
});

test('what is not supported outweighs what this node alone lacks', async () => {
  const vm = wanted({ machineType: 'pc-q35-99.0', networks: [{ name: 'lan', type: 'ovs' }] });
  const error = await refusalOf(newValidator().validate(vm, { isStarted: true }, never));
  assert.equal(error.reason, 'NOT_SUPPORTED');
  assert.match(error.message, / \(and 1 more problem\)$/);
});

/** Three files that are wrong, and one that is right. */
const BROKEN = {
  volumes: [
    { ...ROOT, format: 'qcow2' },
    { name: 'data', format: 'qcow2', source: { file: { path: '/images/root.qcow2' } } },
    { name: 'gone', format: 'raw', source: { file: { path: '/images/none.img' } } },
  ],
  kernel: { path: '/boot/none' },
};
const BROKEN_FIELDS = [
  `${MACHINE}.volumes[0].format`,
  `${MACHINE}.volumes[2].source.file.path`,
  `${MACHINE}.kernel.path`,
];

test('all files that are wrong are said at once, if all the rest is right', async () => {
  const error = await refusalOf(
    newValidator().validate(wanted(BROKEN), { isStarted: true }, never),
  );
  assert.equal(error.reason, 'IMAGE_INVALID');
  assert.deepEqual(fieldsOf(error), BROKEN_FIELDS);
  const vm = wanted({ ...BROKEN, machineType: 'pc-q35-99.0' });
  const other = await refusalOf(newValidator().validate(vm, { isStarted: true }, never));
  assert.deepEqual(fieldsOf(other), [`${MACHINE}.machineType`]);
});

test('a VM that is right is accepted, with a word on what is not as one may think', async () => {
  const validator = newValidator();
  const block = { name: 'data', source: { block: { path: '/dev/vg/root' } } };
  const right = { volumes: [ROOT, block], machineType: 'q35', kernel: { path: '/boot/vmlinuz' } };
  assert.deepEqual(await validator.validate(wanted(right), { isStarted: true }, never), []);
  const odd = wanted({
    resources: { cpu: '1500m', memory: '70000000' },
    volumes: [{ ...ROOT, accessMode: 'ReadWriteOnce' }],
    nodeSelector: { disk: 'ssd' },
  });
  assert.deepEqual(await validator.validate(odd, { isStarted: true }, never), [
    `${MACHINE}.resources.cpu 1500m is rounded up to 2 virtual CPUs`,
    `${MACHINE}.resources.memory 70000000 is rounded up to 67Mi`,
    `${MACHINE}.volumes[0].accessMode is kept and has no effect: access modes are for volumes that a cluster provides`,
    `${MACHINE}.nodeSelector is kept and has no effect: one node has no choice of nodes`,
  ]);
});

test('of a VM that arrives only what this node must have is asked, all at once', async () => {
  const validator = newValidator();
  const resources = { cpu: '1', memory: '1Mi' };
  const { spec } = wanted({ resources, userData: '#cloud-config\n' });
  await validator.validateIncoming(tinyVm({ spec }), never);
  const broken = wanted({ ...BROKEN, resources, machineType: 'pc-q35-99.0' });
  const arriving = tinyVm({ name: 'web', spec: broken.spec });
  const error = await refusalOf(validator.validateIncoming(arriving, never));
  assert.equal(error.reason, 'FEATURE_NOT_SUPPORTED');
  assert.deepEqual(fieldsOf(error), [`${MACHINE}.machineType`, ...BROKEN_FIELDS]);
});

const HOLDER = { pid: 12, program: 'qemu-nbd', vmUid: undefined, vmName: '' };
const OTHER_UID = '0b1f8a52-6d39-4e7e-9f5e-2f0d2c3b4a59';

const nameOf = (vmUid: string) => (vmUid === OTHER_UID ? 'shop/db' : undefined);
/** What is wrong, without what could not be done for it. */
const said = (message: string) => message.slice(message.indexOf(': '));

/** A validator on whose node somebody has the image of the VM open. */
function heldBy(...holders: readonly ImageHolder[]) {
  const images = new FakeImages();
  images.add('/images/root.img', { holders });
  const { host } = new FakeHypervisor();
  const hooks = new FakeHookRunner();
  return new DefinitionValidator({
    host,
    images,
    bridges: new FakeBridges(),
    hooks,
    accelerator: TCG,
    minMemory: '64Mi',
    capacity: { 'hugepages-2Mi': 2 ** 30, 'dedicated-cpus': 2 },
    nameOf,
  });
}

for (const [what, holder, says] of [
  [
    'a program',
    HOLDER,
    /which qemu-nbd \(pid 12\) has open; end that \(see fuser -v on the node\)/,
  ],
  ['a VM', { ...HOLDER, vmUid: OTHER_UID }, /which VM shop\/db has open; shut that down, or use/],
  [
    "another's domain",
    { ...HOLDER, vmUid: randomUUID(), vmName: 'old' },
    /which the domain old \(pid 12\) has open/,
  ],
  ['who cannot be seen', { ...HOLDER, pid: undefined }, /which somebody has open/],
] as const) {
  test(`a VM is not started on an image that ${what} has open`, async () => {
    const validator = heldBy(holder);
    const vm = wanted({});
    const error = await refusalOf(validator.validate(vm, { isStarted: true }, never));
    assert.equal(error.reason, 'IMAGE_IN_USE');
    assert.match(error.message, says);
    assert.deepEqual(fieldsOf(error), [`${MACHINE}.volumes[0].source.file.path`]);
    const again = await refusalOf(validator.assertStartable(tinyVm({ spec: vm.spec }), [], never));
    assert.equal(again.reason, 'IMAGE_IN_USE');
    assert.equal(said(again.message), said(error.message));
    const warnings = await validator.validate(vm, { isStarted: false }, never);
    assert.match(warnings.join(), /has open; .* before it is started/);
  });
}

test('what a VM has open itself is not in its way, nor is its source where it arrives', async () => {
  const vm = tinyVm({ spec: wanted({}).spec });
  const own = heldBy({ ...HOLDER, vmUid: vm.uid });
  await own.assertStartable(vm, [], never);
  await own.validateIncoming(vm, never);
  await heldBy({ ...HOLDER, pid: undefined }).validateIncoming(vm, never);
  const error = await refusalOf(heldBy(HOLDER).validateIncoming(vm, never));
  assert.match(error.message, /^Cannot take VM .* which qemu-nbd/);
  assert.equal(error.reason, 'IMAGE_IN_USE');
});

test('two volumes that lead to one image by different paths are an error of the spec', async () => {
  const images = new FakeImages();
  images.add('/images/root.img');
  images.add('/images/link.img', { fileId: '/images/root.img' });
  const { host } = new FakeHypervisor();
  const validator = new DefinitionValidator({
    host,
    images,
    bridges: new FakeBridges('br0', 'br1'),
    hooks: new FakeHookRunner(),
    accelerator: TCG,
    minMemory: '64Mi',
    capacity: { 'hugepages-2Mi': 2 ** 30, 'dedicated-cpus': 2 },
    nameOf: () => undefined,
  });
  const vm = withSource({ file: { path: '/images/link.img' } });
  const error = await refusalOf(validator.validate(vm, { isStarted: true }, never));
  assert.equal(error.reason, 'INVALID_SPEC');
  assert.deepEqual(fieldsOf(error), [`${DATA}.source.file.path`]);
  assert.match(error.message, /leads to the same image as spec\.template\.spec\.volumes\[0\]/);
});

test('what another disk stands on may be read by the VM too', async () => {
  const vm = withSource({ file: { path: '/images/base.img' } }, { readOnly: true });
  assert.deepEqual(await newValidator().validate(vm, { isStarted: true }, never), []);
});

for (const [resource, machine] of [
  ['hugepages-1Gi', { memory: { hugepages: '1Gi' } }],
  ['dedicated-cpus', { resources: { cpu: '3', memory: '64Mi' }, cpu: { dedicated: true } }],
] as const) {
  test(`a VM for which the node has too few ${resource} is refused with the name of these`, async () => {
    const vm = wanted(machine);
    const error = await refusalOf(newValidator().validate(vm, { isStarted: true }, never));
    assert.deepEqual(error.metadata, { resource });
  });
}

test('of a VM whose disks somebody has changed the files of its spec are not looked at', async () => {
  await heldBy(HOLDER).assertStartable(tinyVm({ spec: wanted({}).spec }), ['volumes'], never);
});

for (const [path, way] of [
  ['/images/root.qcow2', 'say format: qcow2'],
  ['/images/other.vmdk', 'convert it with: qemu-img convert -f vmdk -O qcow2'],
] as const) {
  test(`whoever gives a VM ${path} as a raw disk is told what that is, and nobody else`, async () => {
    const validator = newValidator();
    const vm = withSource({ file: { path } });
    const [warning, ...others] = await validator.validate(vm, { isStarted: true }, never);
    assert.deepEqual(others, []);
    const format = path.split('.')[1];
    assert.equal(
      warning,
      `${DATA}.format is raw, but ${path} is a ${format} image by its first bytes: the guest would have the bytes of that image as its disk, not what is in it; if it was made as one, ${way}`,
    );
    // A guest may write to its disk what it likes.
    const definition = tinyVm({ spec: vm.spec });
    await validator.assertStartable(definition, [], never);
    await validator.validateIncoming(definition, never);
  });
}

test('nothing is said of a raw disk that its guest has encrypted whole', async () => {
  const vm = withSource({ file: { path: '/images/vault.img' } });
  assert.deepEqual(await newValidator().validate(vm, { isStarted: true }, never), []);
});

for (const type of ['overlay', 'sr-iov', 'macvlan']) {
  test(`a network of the type ${type} is not supported yet`, async () => {
    const vm = wanted({ networks: [BRIDGED, { name: 'other', type }] });
    const error = await refusalOf(newValidator().validate(vm, { isStarted: true }, never));
    assert.equal(error.reason, 'NOT_SUPPORTED');
    assert.deepEqual(fieldsOf(error), [`${MACHINE}.networks[1].type`]);
  });
}

test('a bridge that the node lacks is refused, whether it is started at once or not, and those that there are are named', async () => {
  const vm = wanted({
    networks: [
      BRIDGED,
      { name: 'wan', type: 'bridge', bridge: 'br7' },
      { name: 'br8', type: 'bridge' },
    ],
  });
  for (const isStarted of [true, false]) {
    const error = await refusalOf(newValidator().validate(vm, { isStarted }, never));
    assert.equal(error.reason, 'NETWORK_NOT_FOUND');
    assert.deepEqual(fieldsOf(error), [
      `${MACHINE}.networks[1].bridge`,
      `${MACHINE}.networks[2].name`,
    ]);
    assert.equal(
      error.violations[0]?.description,
      'is br7, and this node has no bridge of that name; name one that it has (br0, br1), make br7 on it (docs/networks.md) or choose another node',
    );
  }
});

test('a node without bridges is told to be one', async () => {
  const vm = tinyVm({ spec: wanted({ networks: [BRIDGED] }).spec });
  const validator = newValidator({ bridges: new FakeBridges() });
  const error = await refusalOf(validator.assertStartable(vm, [], never));
  assert.equal(error.reason, 'NETWORK_NOT_FOUND');
  assert.match(
    error.message,
    /^Cannot start VM .* is br0, and this node has no bridge of that name and no other; make br0 on it/,
  );
  const arriving = await refusalOf(validator.validateIncoming(vm, never));
  assert.equal(arriving.reason, 'NETWORK_NOT_FOUND');
  assert.match(arriving.message, /^Cannot take VM /);
});

test('of a VM whose interfaces somebody has changed the bridges of its spec are not looked for', async () => {
  const vm = tinyVm({ spec: wanted({ networks: [BRIDGED] }).spec });
  await newValidator({ bridges: new FakeBridges() }).assertStartable(vm, ['networks'], never);
});

test('an address that another network of the VM has from the agent is an error of the spec', async () => {
  const uid = randomUUID();
  const mac = macOf(uid, { name: 'lan' });
  const vm = wanted({ networks: [BRIDGED, { ...BRIDGED, name: 'wan', mac }] });
  const known = { ...vm, metadata: { ...vm.metadata, uid } };
  const error = await refusalOf(newValidator().validate(known, { isStarted: true }, never));
  assert.equal(error.reason, 'INVALID_SPEC');
  assert.deepEqual(fieldsOf(error), [`${MACHINE}.networks[1].mac`]);
  assert.match(error.message, /network "lan" has from the agent; give another, or leave it out/);
});
