import assert from 'node:assert/strict';
import { totalmem } from 'node:os';
import { toVirtualMachineMessage } from '../../src/client/resource-messages.ts';
import type { VmInput } from '../../src/client/vm-calls.ts';
import type { VolumeFormat } from '../../src/gen/novacron/agent/v1/virtual_machine.ts';

/** A raw image on the node. */
export const IMAGE = '/run/image.raw';
const MACHINE = 'spec.template.spec';

const GOOD = { resources: { cpu: '1', memory: '64Mi' }, volumes: [volume('root')] };

function volume(name: string, change: object = {}) {
  return { name, format: 'raw', source: { file: { path: IMAGE } }, shared: true, ...change };
}

interface Change {
  readonly machine?: object;
  readonly metadata?: object;
  readonly runStrategy?: string;
}

/** A VM as a manifest would have it, however wrong. */
export function vmWith({
  machine = {},
  metadata = {},
  runStrategy = 'Manual',
}: Change = {}): VmInput {
  const document = {
    metadata: { name: 'vm', ...metadata },
    spec: { runStrategy, template: { spec: { ...GOOD, ...machine } } },
  };
  return toVirtualMachineMessage(document as Parameters<typeof toVirtualMachineMessage>[0]);
}

/** What no client of ours can say. */
function withUnknownFormat(): VmInput {
  const vm = vmWith();
  const [first] = vm.spec?.template?.spec?.volumes ?? [];
  assert.ok(first !== undefined);
  first.format = 77 as VolumeFormat;
  return vm;
}

interface BadVm {
  readonly what: string;
  readonly vm: VmInput;
  readonly reason: string;
  readonly grpcCode: number;
  readonly fields: readonly string[];
}

const INVALID = { reason: 'INVALID_SPEC', grpcCode: 3 };
const NOT_SUPPORTED = { reason: 'NOT_SUPPORTED', grpcCode: 12 };
const UNMET = { grpcCode: 9 };

/** VMs that are refused, with why and by which fields. */
export const BAD_VMS: readonly BadVm[] = [
  { what: 'nothing', vm: {}, ...INVALID, fields: ['metadata.name'] },
  {
    what: 'no machine',
    vm: { metadata: { name: 'vm' }, spec: {} },
    ...INVALID,
    fields: ['spec.template'],
  },
  {
    what: 'no memory',
    vm: vmWith({ machine: { resources: { cpu: '1' } } }),
    ...INVALID,
    fields: [`${MACHINE}.resources.memory`],
  },
  {
    what: 'an amount of memory that is none',
    vm: vmWith({ machine: { resources: { cpu: '1', memory: '64MB' } } }),
    ...INVALID,
    fields: [`${MACHINE}.resources.memory`],
  },
  {
    what: 'less memory than the node allows',
    vm: vmWith({ machine: { resources: { cpu: '1', memory: '8Mi' } } }),
    ...INVALID,
    fields: [`${MACHINE}.resources.memory`],
  },
  {
    what: 'half a CPU',
    vm: vmWith({ machine: { resources: { cpu: '500m', memory: '64Mi' } } }),
    ...INVALID,
    fields: [`${MACHINE}.resources.cpu`],
  },
  {
    what: 'nothing to boot from',
    vm: vmWith({ machine: { volumes: [] } }),
    ...INVALID,
    fields: [`${MACHINE}.image`],
  },
  {
    what: 'a volume without a format',
    vm: vmWith({ machine: { volumes: [volume('x', { format: undefined })] } }),
    ...INVALID,
    fields: [`${MACHINE}.volumes[0].format`],
  },
  {
    what: 'a volume of an unknown format',
    vm: withUnknownFormat(),
    ...INVALID,
    fields: [`${MACHINE}.volumes[0].format`],
  },
  {
    what: 'two volumes on one target, of one name and with one file',
    vm: vmWith({
      machine: { volumes: [volume('x', { target: 'vda' }), volume('x', { target: 'vda' })] },
    }),
    ...INVALID,
    fields: ['name', 'target', 'source.file.path'].map((key) => `${MACHINE}.volumes[1].${key}`),
  },
  {
    what: 'a name that is no DNS label',
    vm: vmWith({ metadata: { name: 'No_Label' } }),
    ...INVALID,
    fields: ['metadata.name'],
  },
  {
    what: 'a name that holds XML',
    vm: vmWith({ metadata: { name: "a'/><x" } }),
    ...INVALID,
    fields: ['metadata.name'],
  },
  {
    what: 'a label that holds XML',
    vm: vmWith({ metadata: { labels: { '<k>': '&' } } }),
    ...INVALID,
    // Both the key and the value.
    fields: ['metadata.labels["<k>"]', 'metadata.labels["<k>"]'],
  },
  {
    what: 'a garbage uid',
    vm: vmWith({ metadata: { uid: '../../etc/passwd' } }),
    ...INVALID,
    fields: ['metadata.uid'],
  },
  {
    what: 'what the agent cannot do yet',
    vm: vmWith({
      machine: { networks: [{ name: 'default', type: 'ovs' }], devices: [{ type: 'gpu' }] },
    }),
    ...NOT_SUPPORTED,
    fields: ['networks[0].type', 'devices'].map((key) => `${MACHINE}.${key}`),
  },
  {
    what: 'an image that is not there',
    vm: vmWith({ machine: { volumes: [volume('x', { source: { file: { path: '/run/no' } } })] } }),
    ...UNMET,
    reason: 'IMAGE_NOT_FOUND',
    fields: [`${MACHINE}.volumes[0].source.file.path`],
  },
  {
    what: 'an image of another format',
    vm: vmWith({ machine: { volumes: [volume('x', { format: 'qcow2' })] } }),
    ...UNMET,
    reason: 'IMAGE_INVALID',
    fields: [`${MACHINE}.volumes[0].format`],
  },
  {
    what: 'a file that is named as a block device',
    vm: vmWith({ machine: { volumes: [volume('x', { source: { block: { path: IMAGE } } })] } }),
    ...UNMET,
    reason: 'IMAGE_INVALID',
    fields: [`${MACHINE}.volumes[0].source.block.path`],
  },
  {
    what: 'an image outside of the folders for images',
    vm: vmWith({
      machine: { volumes: [volume('x', { source: { file: { path: '/etc/shadow' } } })] },
    }),
    ...UNMET,
    reason: 'IMAGE_NOT_ALLOWED',
    fields: [`${MACHINE}.volumes[0].source.file.path`],
  },
  {
    what: 'a block device that no pattern allows',
    vm: vmWith({
      machine: { volumes: [volume('x', { source: { block: { path: '/dev/sda' } } })] },
    }),
    ...UNMET,
    reason: 'IMAGE_NOT_ALLOWED',
    fields: [`${MACHINE}.volumes[0].source.block.path`],
  },
  {
    what: 'a kernel that is not there',
    vm: vmWith({ machine: { kernel: { path: '/boot/none' } } }),
    ...UNMET,
    reason: 'IMAGE_NOT_FOUND',
    fields: [`${MACHINE}.kernel.path`],
  },
  {
    what: 'more memory than the node has',
    vm: vmWith({
      machine: { resources: { cpu: '1', memory: String(totalmem()) } },
      runStrategy: 'Once',
    }),
    ...UNMET,
    reason: 'NODE_CAPACITY_EXCEEDED',
    fields: [`${MACHINE}.resources.memory`],
  },
  {
    what: 'a machine type that QEMU does not have',
    vm: vmWith({ machine: { machineType: 'pc-q35-99.9' } }),
    ...UNMET,
    reason: 'FEATURE_NOT_SUPPORTED',
    fields: [`${MACHINE}.machineType`],
  },
];
