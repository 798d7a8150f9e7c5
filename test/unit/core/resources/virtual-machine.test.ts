import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../../../../src/core/errors.ts';
import { parseVirtualMachine } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { checkSupport } from '../../../../src/core/resources/support.ts';
import { virtualMachine } from '../../../../src/core/resources/virtual-machine.ts';
import { manifest, SPECIFICATION_EXAMPLE } from '../../../fixtures/manifests.ts';

/** Fields that are refused, with what is said of each. */
function violations(document: unknown): Readonly<Record<string, string>> {
  try {
    parseVirtualMachine(document);
  } catch (error) {
    assert.ok(error instanceof AgentError, String(error));
    assert.equal(error.reason, 'INVALID_SPEC');
    return Object.fromEntries(
      error.violations.map(({ field, description }) => [field, description]),
    );
  }
  return {};
}

const DISK = { cpu: 1, memory: '1Gi', disk: '10Gi' };
const LAN = { name: 'lan', type: 'bridge' };
const MAC = '52:54:00:ab:cd:ef';

test('the example of the specification is accepted as it stands, quantities as written', () => {
  const { spec } = parseVirtualMachine(SPECIFICATION_EXAMPLE);
  assert.deepEqual(spec.template.spec.resources, { cpu: '4', memory: '8Gi', disk: '100Gi' });
  assert.equal(spec.migrationPolicy?.bandwidth, '1Gbps');
  assert.equal(spec.migrationPolicy?.encrypted, true);
});

test('what of the example cannot be carried out is named, each with its field', () => {
  const { metadata, spec } = parseVirtualMachine(SPECIFICATION_EXAMPLE);
  const { refused, notApplicable } = checkSupport(virtualMachine, { metadata, spec });
  const machine = 'spec.template.spec';
  assert.deepEqual(
    refused.map(({ field }) => field),
    [
      `${machine}.image.source`,
      `${machine}.networks[0].ipv4.method`,
      `${machine}.volumes[0].storageClass`,
      `${machine}.devices`,
      'spec.snapshotPolicy',
    ],
  );
  assert.deepEqual(
    notApplicable.map(({ field }) => field),
    [
      `${machine}.volumes[0].accessMode`,
      `${machine}.nodeSelector`,
      `${machine}.affinity`,
      'spec.updateStrategy.rollingUpdate',
    ],
  );
});

const MADE = { name: 'a', size: '1Gi' };

test('values that cannot be carried out are named like fields', () => {
  const { metadata, spec } = parseVirtualMachine(
    manifest({
      console: { log: false },
      volumes: [{ name: 'a', source: { block: { path: '/dev/a' } }, storageClass: 'fast' }],
    }),
  );
  const { refused } = checkSupport(virtualMachine, { metadata, spec });
  assert.deepEqual(
    refused.map(({ field }) => field),
    ['spec.template.spec.volumes[0].storageClass', 'spec.template.spec.console.log'],
  );
});

test('defaults are filled in, and what has none stays away', () => {
  const path = '/images/web.qcow2';
  const { metadata, spec } = parseVirtualMachine(
    manifest({ volumes: [{ name: 'root', format: 'qcow2', source: { file: { path } } }] }),
  );
  assert.equal(metadata.namespace, 'default');
  assert.deepEqual(spec.template.spec.volumes, [
    { name: 'root', source: { file: { path } }, kind: 'disk', format: 'qcow2', cache: 'none' },
  ]);
});

test('what other servers write into a manifest is ignored', () => {
  const document = {
    ...manifest(),
    status: { phase: 'Running', anything: 1 },
    metadata: { name: 'web', resourceVersion: '12', managedFields: [{}], generation: 3 },
  };
  assert.equal(parseVirtualMachine(document).metadata.name, 'web');
});

test('a board that contradicts itself is refused by field', () => {
  const smbios = { serial: '', product: 'a\nb', sku: 'x'.repeat(256) };
  assert.deepEqual(violations(manifest({ firmware: { smbios } })), {
    'spec.template.spec.firmware.smbios.product': 'must not contain control characters',
    'spec.template.spec.firmware.smbios.serial': 'must not be empty',
    'spec.template.spec.firmware.smbios.sku': 'must be at most 255 bytes',
  });
  const board = {
    machineType: 'pc',
    memory: { hugepages: '2Mi', freePageReporting: true },
    cpu: { features: ['+aes', '-svm', '-aes'] },
    watchdog: { model: 'itco' },
    hyperv: { features: ['relaxed', 'stimer', 'relaxed'] },
  };
  assert.deepEqual(violations(manifest(board)), {
    'spec.template.spec.cpu.features[2]': 'names aes a second time',
    'spec.template.spec.memory.freePageReporting':
      'must be left out or false with hugepages, which are never given back',
    'spec.template.spec.watchdog.model': 'needs the machine type q35 to be itco',
    'spec.template.spec.hyperv.features[1]': 'is stimer, which needs synic as well',
    'spec.template.spec.hyperv.features[2]': 'names relaxed a second time',
  });
});

test('a manifest of another kind or version is refused', () => {
  const { apiVersion, kind } = { apiVersion: 'novacron.dev/v1alpha1', kind: 'VMPool' };
  assert.match(violations({ ...manifest(), apiVersion })['apiVersion'] ?? '', /novacron\.io/);
  assert.match(violations({ ...manifest(), kind })['kind'] ?? '', /VirtualMachine/);
});

test('everything that is wrong is named at once, as the manifest writes it', () => {
  const found = violations({
    metadata: { name: 'Web_1', labels: { 'a b': 'x' } },
    spec: {
      running: true,
      runStrategy: 'Manual',
      template: {
        spec: {
          resources: { cpu: 0, memory: 'much' },
          volumes: [
            { name: 'root', source: { file: { path: 'web.qcow2' }, block: { path: '/dev/x' } } },
            { name: 'root', size: '1Gi', bus: 'usb', target: 'hda' },
          ],
          disks: [],
        },
      },
    },
  });
  const machine = 'spec.template.spec';
  assert.deepEqual(Object.keys(found).toSorted(), [
    'metadata.labels["a b"]',
    'metadata.name',
    `${machine}.disks`,
    `${machine}.resources.memory`,
    `${machine}.volumes[0].source.file.path`,
    `${machine}.volumes[1].bus`,
    `${machine}.volumes[1].target`,
  ]);
});

test('rules between fields are named at the field to change', () => {
  const cases: readonly [Record<string, unknown>, string, RegExp][] = [
    [{ resources: { cpu: '500m', memory: '1Gi' } }, 'resources.cpu', /from 1 to 512/],
    [{ kernel: undefined }, 'image', /name an image, a volume to boot from, or a kernel/],
    [{ cpu: { topology: { sockets: 1, cores: 3, threads: 1 } } }, 'cpu.topology', /1 CPUs/],
    [
      { cpu: { max: 2, topology: { sockets: 1, cores: 1, threads: 1 } } },
      'cpu.topology',
      /2 CPUs of cpu.max/,
    ],
    [
      { resources: { cpu: 3, memory: '1Gi' }, cpu: { max: 2 } },
      'cpu.max',
      /at least the 3 CPUs of resources.cpu, not 2/,
    ],
    [{ cpu: { max: 2, dedicated: true } }, 'cpu.max', /left out with dedicated/],
    [{ memory: { max: '512Mi' } }, 'memory.max', /at least the 1Gi of resources.memory, not 512Mi/],
    [{ memory: { max: '5Pi' } }, 'memory.max', /at most 4Pi, not 5Pi/],
    [{ memory: { max: '2Gi', hugepages: '2Mi' } }, 'memory.max', /left out with hugepages/],
    [{ firmware: { secureBoot: true } }, 'firmware.secureBoot', /uefi/],
    [
      { volumes: [{ name: 'a', source: { file: { path: '/a' } } }] },
      'volumes[0].format',
      /never guessed/,
    ],
    [{ volumes: [{ name: 'a' }] }, 'volumes[0].source', /or a size/],
    [{ volumes: [{ name: 'a', size: '1Ki' }] }, 'volumes[0].size', /from 1Mi to 64Ti/],
    [{ volumes: [{ name: 'a', size: '65Ti' }] }, 'volumes[0].size', /from 1Mi to 64Ti/],
    [{ volumes: [{ name: 'a', size: '10m' }] }, 'volumes[0].size', /did you mean 10M or 10Mi/],
    [
      { volumes: [{ name: 'a', kind: 'cdrom', size: '1Gi' }] },
      'volumes[0].size',
      /left out for a cdrom/,
    ],
    [
      { volumes: [{ name: 'a', size: '1Gi', source: { block: { path: '/dev/a' } } }] },
      'volumes[0].size',
      /left out with a source/,
    ],
    [{ volumes: [{ name: 'a', size: '1Gi', readOnly: true }] }, 'volumes[0].readOnly', /empty/],
    [
      {
        volumes: [
          {
            name: 'a',
            format: 'qcow2',
            source: { file: { path: '/srv/a' } },
            encryption: { secret: 'key' },
          },
        ],
      },
      'volumes[0].encryption',
      /only of a disk that the agent makes/,
    ],
    [
      { volumes: [{ name: 'a', kind: 'cdrom', encryption: { secret: 'key' } }] },
      'volumes[0].encryption',
      /leave it out/,
    ],
    [
      { volumes: [{ name: 'a', size: '1Gi', encryption: { secret: '../key' } }] },
      'volumes[0].encryption.secret',
      /name of a secret/,
    ],
    [{ resources: DISK, volumes: [{ name: 'root', size: '1Gi' }] }, 'volumes[0].size', /left out/],
    [
      { resources: DISK, volumes: [{ name: 'root', source: { block: { path: '/dev/a' } } }] },
      'volumes[0].source',
      /left out with resources\.disk/,
    ],
    [{ resources: DISK, volumes: [{ name: 'root', kind: 'cdrom' }] }, 'volumes[0].kind', /drive/],
    [{ resources: { ...DISK, disk: '0' } }, 'resources.disk', /from 1Mi to 64Ti/],
    [
      {
        resources: DISK,
        volumes: Array.from({ length: 26 }, (_, at) => ({ name: `v${at}`, size: '1Gi' })),
      },
      'volumes',
      /at most 25 with resources\.disk, which take the place of one/,
    ],
    [
      { volumes: [{ name: 'a', size: '1Gi', bus: 'scsi', target: 'vda' }] },
      'volumes[0].target',
      /sda to sdz/,
    ],
    [{ volumes: [{ name: 'a', kind: 'cdrom', bus: 'virtio' }] }, 'volumes[0].bus', /sata or scsi/],
    [
      { volumes: [{ name: 'a', size: '1Gi', io: 'native', cache: 'writeback' }] },
      'volumes[0].io',
      /none or/,
    ],
    [{ volumes: [{ ...MADE, iothread: 1 }] }, 'volumes[0].iothread', /needs iothreads/],
    [
      { iothreads: 2, volumes: [{ ...MADE, iothread: 3 }] },
      'volumes[0].iothread',
      /at most the 2 of/,
    ],
    [
      { iothreads: 2, volumes: [{ ...MADE, bus: 'scsi', iothread: 1 }] },
      'volumes[0].iothread',
      /needs the bus virtio/,
    ],
    [{ volumes: [{ ...MADE, iotune: {} }] }, 'volumes[0].iotune', /must have a limit/],
    [
      { volumes: [{ ...MADE, iotune: { totalIops: 1, readIops: 1 } }] },
      'volumes[0].iotune.totalIops',
      /left out with readIops or writeIops/,
    ],
    [
      { volumes: [{ ...MADE, iotune: { totalBytesPerSecond: 0 } }] },
      'volumes[0].iotune.totalBytesPerSecond',
      /more than 0/,
    ],
    [
      { volumes: [{ ...MADE, iotune: { totalIops: 5, burst: { totalIops: 4 } } }] },
      'volumes[0].iotune.burst.totalIops',
      /at least totalIops, which lasts/,
    ],
    [
      { volumes: [{ ...MADE, iotune: { totalIops: 5, burst: { readBytesPerSecond: '1M' } } }] },
      'volumes[0].iotune.burst.readBytesPerSecond',
      /needs readBytesPerSecond beside burst/,
    ],
    [
      { networks: [{ name: 'n', type: 'bridge', ipv4: { method: 'static' } }] },
      'networks[0].ipv4.address',
      /required/,
    ],
    [
      { networks: [{ name: 'n', type: 'bridge', ipv4: { address: '10.0.0.1/8' } }] },
      'networks[0].ipv4.address',
      /left out/,
    ],
    [{ networks: [{ name: 'n' }] }, 'networks[0].type', /is required: bridge/],
    [{ networks: [LAN, { ...LAN, mac: MAC }] }, 'networks[1].name', /each needs its own/],
    [
      {
        networks: [
          { ...LAN, mac: MAC },
          { ...LAN, name: 'wan', mac: MAC.toUpperCase() },
        ],
      },
      'networks[1].mac',
      /is the same as that of network "lan"/,
    ],
    [{ networks: [{ ...LAN, model: 'e1000e', queues: 2 }] }, 'networks[0].queues', /virtio can/],
  ];
  for (const [machine, field, description] of cases) {
    const found = violations(manifest(machine));
    assert.deepEqual(Object.keys(found), [`spec.template.spec.${field}`]);
    assert.match(found[`spec.template.spec.${field}`] ?? '', description);
  }
});

test('a manifest is limited as a whole, however it is made large, but for its user data', () => {
  const large = violations(manifest({ affinity: { note: 'x'.repeat(1024 ** 2) } }));
  assert.deepEqual(Object.keys(large), ['spec']);
  assert.match(large['spec'] ?? '', /must come to at most 786432 bytes as JSON in ASCII, not 10/);
  // Each of them one byte as given, and six as kept.
  const annotations = { note: '\u0001'.repeat(200 * 1024) };
  const { metadata, ...rest } = manifest();
  const written = { ...rest, metadata: { ...metadata, annotations } };
  assert.deepEqual(Object.keys(violations(written)), ['metadata']);
  assert.deepEqual(violations(manifest({ userData: 'x'.repeat(1024 ** 2) })), {});
});

test('a source of an image has no password, and may have a digest', () => {
  for (const source of [
    'https://user:secret@images.example/web.qcow2',
    'http://user@images.example',
    's3://key:secret@bucket/web',
    'oci://user:secret@registry.example/web:1',
  ]) {
    const found = violations(manifest({ image: { source } }));
    assert.deepEqual(found, {
      'spec.template.spec.image.source':
        'must have no user or password in it; name a secret in auth',
    });
  }
  const digest = `sha256:${'ab'.repeat(32)}`;
  for (const source of [
    'file:///a@b.qcow2',
    'https://images.example/a@b.qcow2?by=c@d',
    `oci://registry.example/web@${digest}`,
    's3://bucket/a folder/web.qcow2'.replace(' ', '+'),
  ]) {
    assert.deepEqual(violations(manifest({ image: { source } })), {});
  }
});

test('a source of an image names all that its scheme needs', () => {
  const must = {
    'oci://web': /must be oci:\/\/REGISTRY\/REPOSITORY/,
    'oci://registry.example/Web': /must be oci:\/\/REGISTRY\/REPOSITORY/,
    'oci://registry.example/web@sha256:12': /must be oci:\/\/REGISTRY\/REPOSITORY/,
    's3://bucket': /must be s3:\/\/BUCKET\/PATH/,
    's3://bucket/a/../../other/key': /must be s3:\/\/BUCKET\/PATH/,
  };
  for (const [source, message] of Object.entries(must)) {
    const found = violations(manifest({ image: { source } }));
    assert.match(found['spec.template.spec.image.source'] ?? '', message);
  }
});

test('a secret to fetch an image with has a name, and is for no file of the node', () => {
  const image = { source: 'file:///var/lib/libvirt/images/web.qcow2', auth: 'web' };
  const message = 'must be left out for a file of the node';
  const volumes = [{ name: 'data', source: { image } }];
  assert.deepEqual(violations(manifest({ image, volumes })), {
    'spec.template.spec.image.auth': message,
    'spec.template.spec.volumes[0].source.image.auth': message,
  });
  const odd = { source: 'https://images.example/web.qcow2', auth: '../../shadow' };
  assert.match(
    violations(manifest({ image: odd }))['spec.template.spec.image.auth'] ?? '',
    /must be the name of a secret/,
  );
});

test('volumes need names, targets, paths and boot orders of their own', () => {
  const volume = { source: { block: { path: '/dev/a' } }, target: 'vda', bootOrder: 1 };
  const found = violations(
    manifest({
      volumes: [
        { name: 'a', ...volume },
        { name: 'a', ...volume },
      ],
    }),
  );
  assert.deepEqual(
    Object.keys(found).toSorted(),
    ['bootOrder', 'name', 'source.block.path', 'target'].map(
      (field) => `spec.template.spec.volumes[1].${field}`,
    ),
  );
});

test('anything at all is either accepted or refused with its fields, never with a crash', () => {
  fc.assert(
    fc.property(fc.anything(), fc.anything(), (machine, other) => {
      violations({
        metadata: { name: 'a' },
        spec: { template: { spec: machine }, running: other },
      });
      violations({ metadata: other, spec: machine });
      violations(manifest({ volumes: [machine, other], resources: other, firmware: machine }));
    }),
  );
});

test('a MAC address is that of one interface, and kept in lower case', () => {
  const networks = [{ ...LAN, mac: '52:54:00:AB:CD:EF' }];
  const { spec } = parseVirtualMachine(manifest({ networks }));
  assert.equal(spec.template.spec.networks?.[0]?.mac, MAC);
  const cases: readonly [mac: unknown, description: RegExp][] = [
    ['01:00:5e:00:00:01', /one of a group: the first byte must be even/],
    ['ff:ff:ff:ff:ff:ff', /one of a group/],
    ['00:00:00:00:00:00', /must not be zero/],
    ['fe:54:00:00:00:01', /must not begin with fe/],
    ['52-54-00-00-00-01', /six bytes in hexadecimal with colons/],
    ['52:54:00:00:00:01 ', /six bytes/],
    ['', /six bytes/],
    [525400123456, /in quotes/],
  ];
  for (const [mac, description] of cases) {
    const found = violations(manifest({ networks: [{ ...LAN, mac }] }));
    assert.deepEqual(Object.keys(found), ['spec.template.spec.networks[0].mac'], String(mac));
    assert.match(Object.values(found)[0] ?? '', description);
  }
});

test('a bridge has a name that Linux and libvirt take', () => {
  for (const bridge of [
    '',
    '.',
    '..',
    'a/b',
    'br 0',
    'br:0',
    'br%d',
    'sixteen-letters-',
    'brücke',
  ]) {
    const found = violations(manifest({ networks: [{ ...LAN, bridge }] }));
    assert.deepEqual(Object.keys(found), ['spec.template.spec.networks[0].bridge'], bridge);
  }
  for (const bridge of ['br0', 'vmbr0.100', 'virbr_1', 'fifteen-letters'])
    parseVirtualMachine(manifest({ networks: [{ ...LAN, bridge }] }));
});
