import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { DefinitionValidator } from '../../../../src/agent/vms/definition-validator.ts';
import { validateDefinition, violationError } from '../../../../src/agent/vms/validate-spec.ts';
import type { AgentError } from '../../../../src/core/errors.ts';
import type { VmDefinition, VmSpec } from '../../../../src/core/vm-spec.ts';
import { FakeImages } from '../../../fakes/fake-images.ts';
import { anySpec, definition, disk, MIB, spec } from '../../../fixtures/domain-xml/definitions.ts';

const never = new AbortController().signal;
const node = { cpus: 8, memoryBytes: 4096 * MIB };
const fields = (from: VmDefinition) => validateDefinition(from, node).map(({ field }) => field);
const withSpec = (changes: Partial<VmSpec>) => definition({ spec: spec(changes) });
const kernel = {
  kind: 'kernel',
  kernelPath: '/k',
  initrdPath: undefined,
  commandLine: '',
} as const;

void test('a usual definition is accepted', () => {
  assert.deepEqual(fields(definition()), []);
});

void test('any spec of the generator is accepted on a large node', () => {
  fc.assert(
    fc.property(anySpec, (any) => {
      // Two disks may by chance have one path.
      fc.pre(new Set(any.disks.map(({ path }) => path)).size === any.disks.length);
      const large = { cpus: 512, memoryBytes: 2 ** 45 };
      assert.deepEqual(validateDefinition(definition({ spec: any }), large), []);
    }),
  );
});

const invalid: Record<string, readonly [VmDefinition, readonly string[]]> = {
  'an empty namespace': [definition({ namespace: '' }), ['namespace']],
  'a name in upper case': [definition({ name: 'Web' }), ['name']],
  'a name of 64 letters': [definition({ name: 'a'.repeat(64) }), ['name']],
  'a name ending with a newline': [definition({ name: 'web\n' }), ['name']],
  'a name ending with a hyphen': [definition({ name: 'web-' }), ['name']],
  'a uid in upper case': [definition({ uid: definition().uid.toUpperCase() }), ['uid']],
  'the nil uid': [definition({ uid: '00000000-0000-0000-0000-000000000000' }), ['uid']],
  'no CPU': [withSpec({ cpu: { vcpus: 0, model: undefined } }), ['spec.cpu.vcpus']],
  'half a CPU': [withSpec({ cpu: { vcpus: 1.5, model: undefined } }), ['spec.cpu.vcpus']],
  '513 CPUs': [withSpec({ cpu: { vcpus: 513, model: undefined } }), ['spec.cpu.vcpus']],
  'a CPU model with a comma': [withSpec({ cpu: { vcpus: 1, model: 'a,b' } }), ['spec.cpu.model']],
  'no memory': [withSpec({ memory: { sizeBytes: 0 } }), ['spec.memory.size_bytes']],
  'memory of 15 MiB': [withSpec({ memory: { sizeBytes: 15 * MIB } }), ['spec.memory.size_bytes']],
  'memory of 16.5 MiB': [
    withSpec({ memory: { sizeBytes: 16.5 * MIB } }),
    ['spec.memory.size_bytes'],
  ],
  'memory that is no number': [
    withSpec({ memory: { sizeBytes: Number.NaN } }),
    ['spec.memory.size_bytes'],
  ],
  'an unknown machine': [withSpec({ machineType: 'microvm' }), ['spec.machine_type']],
  'a kernel without a path': [
    withSpec({ boot: { ...kernel, kernelPath: '' } }),
    ['spec.boot.kernel.kernel_path'],
  ],
  'a relative initrd': [
    withSpec({ boot: { ...kernel, initrdPath: 'i' } }),
    ['spec.boot.kernel.initrd_path'],
  ],
  'a command line of two lines': [
    withSpec({ boot: { ...kernel, commandLine: 'a\nb' } }),
    ['spec.boot.kernel.command_line'],
  ],
  'a command line of 2048 letters': [
    withSpec({ boot: { ...kernel, commandLine: 'a'.repeat(2048) } }),
    ['spec.boot.kernel.command_line'],
  ],
  'a virtio disk named sda': [
    withSpec({ disks: [disk({ target: 'sda' })] }),
    ['spec.disks[0].target'],
  ],
  'a sata disk named vda': [withSpec({ disks: [disk({ bus: 'sata' })] }), ['spec.disks[0].target']],
  'a disk named by two letters': [
    withSpec({ disks: [disk({ target: 'vdaa' })] }),
    ['spec.disks[0].target'],
  ],
  'an unknown format': [
    withSpec({ disks: [disk({ format: 'vmdk' as 'raw' })] }),
    ['spec.disks[0].format'],
  ],
  'an unknown bus': [withSpec({ disks: [disk({ bus: 'ide' as 'sata' })] }), ['spec.disks[0].bus']],
  'a bus from the prototype': [
    withSpec({ disks: [disk({ bus: 'constructor' as 'sata' })] }),
    ['spec.disks[0].bus'],
  ],
  'an unknown cache': [
    withSpec({ disks: [disk({ cache: 'unsafe' as 'none' })] }),
    ['spec.disks[0].cache'],
  ],
  'boot order 0': [withSpec({ disks: [disk({ bootOrder: 0 })] }), ['spec.disks[0].boot_order']],
  'a disk twice': [
    withSpec({ disks: [disk({ bootOrder: 1 }), disk({ bootOrder: 1 })] }),
    ['name', 'target', 'path', 'boot_order'].map((field) => `spec.disks[1].${field}`),
  ],
  '27 disks': [withSpec({ disks: Array.from({ length: 27 }, () => disk()) }), ['spec.disks']],
  'a label value with a space': [definition({ labels: { app: 'a b' } }), ['labels["app"]']],
  'a label key with two slashes': [definition({ labels: { 'a/b/c': '' } }), ['labels["a/b/c"]']],
  'an empty label key': [definition({ labels: { '': 'a' } }), ['labels[""]']],
  'a label value of 64 letters': [
    definition({ labels: { app: 'a'.repeat(64) } }),
    ['labels["app"]'],
  ],
  'an annotation with a bad key': [definition({ annotations: { '-': 'a' } }), ['annotations["-"]']],
  'annotations of more than 256 KiB': [
    definition({ annotations: { a: 'x'.repeat(2 ** 18) } }),
    ['annotations'],
  ],
};

for (const [name, [from, expected]] of Object.entries(invalid)) {
  void test(`${name} is refused`, () => {
    assert.deepEqual(fields(from), expected);
    assert.equal(violationError('web', validateDefinition(from, node)).reason, 'INVALID_SPEC');
  });
}

for (const path of [
  '',
  'a',
  './a',
  '/',
  '/a/',
  '//a',
  '/a//b',
  '/a/../b',
  '/..',
  '/a/.',
  '/a\0b',
  '/a\nb',
  '/a\u0085',
  '/\ud800',
  `/${'a'.repeat(4095)}`,
]) {
  void test(`the path ${JSON.stringify(path.slice(0, 10))} is refused`, () => {
    assert.deepEqual(fields(withSpec({ disks: [disk({ path })] })), ['spec.disks[0].path']);
  });
}

void test('a path with spaces, quotes, dots and letters of any language is accepted', () => {
  assert.deepEqual(fields(withSpec({ disks: [disk({ path: `/..a/b c/'"<&>,ü你.img` })] })), []);
});

void test('more than the node has is a matter of the node', () => {
  const from = withSpec({ cpu: { vcpus: 9, model: undefined }, memory: { sizeBytes: 4097 * MIB } });
  const error = violationError('web', validateDefinition(from, node));
  assert.equal(error.reason, 'NODE_CAPACITY_EXCEEDED');
  assert.deepEqual(
    error.violations.map(({ field }) => field),
    ['spec.cpu.vcpus', 'spec.memory.size_bytes'],
  );
  assert.equal(
    error.message,
    'Cannot accept VM "web": spec.cpu.vcpus is 9, but this node has 8 CPUs; ask for fewer or choose another node (and 1 more problem)',
  );
});

void test('what is invalid in itself comes before what the node lacks', () => {
  const from = withSpec({ cpu: { vcpus: 9, model: undefined }, machineType: '?' });
  const error = violationError('web', validateDefinition(from, node));
  assert.equal(error.reason, 'INVALID_SPEC');
  assert.match(error.message, /spec\.machine_type/);
  assert.equal(error.violations.length, 2);
});

/** The error of validating with these images. */
async function failure(from: VmDefinition, images: FakeImages): Promise<AgentError> {
  const validator = new DefinitionValidator({ capacity: node, images });
  return validator.validate(from, never).then(
    () => assert.fail('It was accepted'),
    (error: AgentError) => error,
  );
}

void test('a missing image is named by its field', async () => {
  const images = new FakeImages();
  images.add('/srv/images/root.qcow2', { format: 'qcow2' });
  const data = disk({ name: 'data', target: 'vdb', path: '/srv/images/data.qcow2' });
  const error = await failure(withSpec({ disks: [disk(), data] }), images);
  assert.equal(error.reason, 'IMAGE_NOT_FOUND');
  assert.equal(error.kind, 'failed-precondition');
  assert.deepEqual(
    error.violations.map(({ field }) => field),
    ['spec.disks[1].path'],
  );
});

void test('an image whose content is not what the spec says is refused', async () => {
  const images = new FakeImages();
  images.add('/srv/images/root.qcow2', { format: 'qcow2' });
  const error = await failure(withSpec({ disks: [disk({ format: 'raw' })] }), images);
  assert.equal(error.reason, 'IMAGE_INVALID');
  assert.deepEqual(
    error.violations.map(({ field }) => field),
    ['spec.disks[0].format'],
  );
});

void test('an image with a problem is refused with it', async () => {
  const images = new FakeImages();
  images.add('/srv/images/root.qcow2', { format: 'qcow2', problem: 'it leads to /etc/shadow' });
  const error = await failure(definition(), images);
  assert.equal(error.reason, 'IMAGE_INVALID');
  assert.match(error.message, /leads to \/etc\/shadow/);
});

void test('a missing kernel and initrd are both named, a folder is no kernel', async () => {
  const images = new FakeImages();
  const from = withSpec({ boot: { ...kernel, initrdPath: '/i' }, disks: [] });
  const missing = await failure(from, images);
  assert.equal(missing.reason, 'IMAGE_NOT_FOUND');
  assert.deepEqual(
    missing.violations.map(({ field }) => field),
    ['spec.boot.kernel.kernel_path', 'spec.boot.kernel.initrd_path'],
  );
  images.add('/k', { kind: 'other' });
  images.add('/i');
  assert.equal((await failure(from, images)).reason, 'IMAGE_INVALID');
});

void test('no file is looked at for a spec that is invalid in itself', async () => {
  const error = await failure(withSpec({ machineType: '?' }), new FakeImages());
  assert.deepEqual(
    error.violations.map(({ field }) => field),
    ['spec.machine_type'],
  );
});

void test('a VM whose files are all there is accepted', async () => {
  const images = new FakeImages();
  images.add('/srv/images/root.qcow2', { format: 'qcow2' });
  await new DefinitionValidator({ capacity: node, images }).validate(definition(), never);
});
