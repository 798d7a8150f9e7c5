import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { parseVmManifests } from '../../../../src/cli/input/vm-manifest.ts';
import { vmDocument } from '../../../../src/cli/views/vm-view.ts';
import { VirtualMachine } from '../../../../src/client/api.ts';

const MINIMAL = `
apiVersion: novacron.dev/v1alpha1
kind: VirtualMachine
metadata: {name: web}
spec:
  cpu: {vcpus: 2}
  memory: {size: 512Mi}
`;

const FULL = `
apiVersion: novacron.dev/v1alpha1
kind: VirtualMachine
metadata:
  name: web
  namespace: shop
  uid: 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
  labels: {app: web}
  annotations: {note: "two\\nlines"}
spec:
  powerState: Stopped
  cpu: {vcpus: 4, model: host-model}
  memory: {size: 2Gi}
  boot:
    kernel: {path: /boot/vmlinuz, initrd: /boot/initrd, commandLine: console=ttyS0}
  disks:
    - {name: root, target: vda, bus: virtio, format: qcow2, path: /a.qcow2, shared: true, bootOrder: 1, cache: writeback}
    - {name: data, target: sda, bus: scsi, format: raw, path: /b.img, readOnly: true}
  machineType: q35
`;

function readOne(text: string): VirtualMachine {
  const [vm, ...others] = parseVmManifests(text, 'vm.yaml');
  assert.equal(others.length, 0);
  return VirtualMachine.create(vm);
}

function violationsOf(text: string): Readonly<Record<string, string>> {
  try {
    parseVmManifests(text, 'vm.yaml');
  } catch (error) {
    const { violations } = error as { violations: { field: string; description: string }[] };
    return Object.fromEntries(violations.map(({ field, description }) => [field, description]));
  }
  throw new Error('The manifest was accepted');
}

test('a manifest becomes the request of the API', () => {
  const vm = readOne(FULL);
  assert.equal(vm.spec?.memory?.sizeBytes, 2n * 1024n ** 3n);
  assert.equal(vm.spec?.boot?.method?.$case, 'kernel');
  assert.equal(vm.spec?.disks[0]?.bootOrder, 1);
  assert.equal(vm.metadata?.namespace, 'shop');
});

test('what is left out is left to the agent', () => {
  const { spec } = readOne(MINIMAL);
  assert.equal(spec?.powerState, 0);
  assert.equal(spec?.boot, undefined);
});

for (const [name, text] of [
  ['minimal', MINIMAL],
  ['full', FULL],
  ['UEFI', `${MINIMAL}  boot: {firmware: uefi}\n`],
] as const) {
  test(`a ${name} manifest printed and read again is the same`, () => {
    const vm = readOne(text);
    assert.deepEqual(readOne(stringify(vmDocument(vm))), vm);
  });
}

test('what get prints, status and all, can be created', () => {
  const vm = VirtualMachine.create({
    ...readOne(FULL),
    metadata: {
      name: 'web',
      generation: 7n,
      createTime: { seconds: 1_700_000_000n, nanos: 0 },
    },
    status: { phase: 2, observedGeneration: 7n, statistics: { cpuTimeNs: 2n ** 60n } },
  });
  const again = readOne(stringify(vmDocument(vm)));
  assert.deepEqual(again.spec, vm.spec);
  assert.equal(again.metadata?.generation, 0n);
});

test('an unknown key is refused with its path and the nearest known key', () => {
  assert.deepEqual(violationsOf(MINIMAL.replace('vcpus', 'vcpu')), {
    'spec.cpu.vcpus': 'is required',
    'spec.cpu.vcpu': 'unknown key; did you mean vcpus?',
  });
  const disk = `${MINIMAL}  disks: [{name: a, target: vda, format: raw, path: /a, readonly: true}]\n`;
  assert.deepEqual(violationsOf(disk), {
    'spec.disks[0].readonly': 'unknown key; did you mean readOnly?',
  });
});

test('a size that is no quantity is refused with its path', () => {
  const found = violationsOf(MINIMAL.replace('512Mi', '512MiB'));
  assert.deepEqual(found, { 'spec.memory.size': 'must be a quantity such as 512Mi or 2Gi' });
});

test('firmware and kernel together are refused', () => {
  const both = `${MINIMAL}  boot: {firmware: bios, kernel: {path: /k}}\n`;
  assert.deepEqual(violationsOf(both), {
    'spec.boot': 'must be either firmware or kernel, not both',
  });
});

test('several documents are several VMs, and an empty one at the end is none', () => {
  const text = `${MINIMAL}---${MINIMAL.replace('web', 'db')}---\n`;
  const names = parseVmManifests(text, 'vm.yaml').map((vm) => vm.metadata?.name);
  assert.deepEqual(names, ['web', 'db']);
});

test('JSON is read as well', () => {
  const json = JSON.stringify(vmDocument(readOne(FULL)));
  assert.deepEqual(readOne(json), readOne(FULL));
});

test('an empty file, bad YAML, a key given twice and another kind are refused', () => {
  for (const text of ['', '# nothing\n', 'a: [', 'a: 1\na: 2\n', 'kind: Pod\n', '- 1\n']) {
    assert.throws(() => parseVmManifests(text, 'vm.yaml'), { reason: 'INVALID_SPEC' }, text);
  }
});

test('a document that is wrong is named by its number', () => {
  assert.throws(() => parseVmManifests(`${MINIMAL}---\nkind: Pod\n`, 'vm.yaml'), {
    message: /^vm\.yaml, document 2 /,
  });
});
