import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describe, test } from 'node:test';
import {
  type Machine,
  machine as machineSchema,
} from '../../../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../../../src/core/vm-definition.ts';
import { DomainDocument } from '../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import { tinyVm } from '../../../../fixtures/tiny-vm.ts';

const FOLDER = 'test/fixtures/domain-xml/foreign';
const NAMES = globSync(`${FOLDER}/*.xml`).map((path) => basename(path, '.xml'));

const OPTIONS = {
  accelerator: 'kvm',
  defaultMachineType: 'q35',
  defaultCpuModel: 'host-model',
  consoleLogPath: '/var/log/ours.log',
  nvramPath: '/var/lib/ours_VARS.fd',
  seedPath: '/var/lib/ours.iso',
  oddRamSize: true,
} as const;

function foreign(name: string): DomainDocument {
  return DomainDocument.parse(readFileSync(`${FOLDER}/${name}.xml`, 'utf8'));
}

function definitionOf(document: DomainDocument): VmDefinition {
  const machine = machineSchema.parse(document.reading.machine);
  const spec = { runStrategy: 'Manual', template: { spec: machine } } as const;
  return tinyVm({ uid: document.uuid, spec });
}

function adopted(name: string): { document: DomainDocument; machine: Machine } {
  const document = foreign(name);
  const definition = definitionOf(document);
  return { document: document.withAdoption(definition), machine: definition.spec.template.spec };
}

/** Lines of the one that the other does not have, without what is before them. */
function linesOnlyIn(one: DomainDocument, other: DomainDocument): readonly string[] {
  const known = new Set(other.toString().split('\n'));
  return one
    .toString()
    .split('\n')
    .filter((line) => !known.has(line))
    .map((line) => line.trim());
}

function targets(of: DomainDocument): readonly string[] {
  return of.disks.map((disk) => disk.target);
}

function volumesOf(name: string): readonly string[] {
  return (definitionOf(foreign(name)).spec.template.spec.volumes ?? []).map((one) => one.name);
}

for (const name of NAMES) {
  describe(`a domain of ${name} that is adopted`, () => {
    test('has nothing but our metadata that it did not have before', () => {
      const { document } = adopted(name);
      const added = linesOnlyIn(document, foreign(name));
      const [metadata = '', ...others] = added.filter((line) => !/^<\/?metadata>$/.test(line));
      assert.match(metadata, /^<novacron:vm .*version='2'.* adopted='/);
      assert.deepEqual(others, []);
      assert.deepEqual(linesOnlyIn(foreign(name), document), []);
    });

    test('is as its own definition says, and stays as it is when that is applied', () => {
      const { document, machine } = adopted(name);
      assert.deepEqual(document.definition?.spec.template.spec, machine);
      assert.equal(document.definition?.newer, undefined);
      assert.deepEqual(document.drift, []);
      assert.equal(document.withMachine(machine, OPTIONS).toString(), document.toString());
    });

    test('has its memory changed and nothing else', () => {
      const { document, machine } = adopted(name);
      const resources = { ...machine.resources, memory: '3Gi' };
      const changed = document.withMachine({ ...machine, resources }, OPTIONS);
      const added = linesOnlyIn(changed, document);
      assert.ok(added.length > 0);
      for (const line of added) {
        assert.match(
          line,
          /^<(memory|currentMemory) unit='KiB'>3145728<\/(memory|currentMemory)>$/,
        );
      }
    });

    test('reads the same a second time', () => {
      const { document } = adopted(name);
      assert.deepEqual(document.reading, foreign(name).reading);
      assert.deepEqual(document.kept, foreign(name).reading.kept);
    });

    test('keeps the disks that no volume can be, and gives up those whose volumes go', () => {
      const { document, machine } = adopted(name);
      const { volumes: _, ...rest } = machine;
      const changed = document.withMachine({ ...rest, volumes: [] }, OPTIONS);
      const kept = targets(document).filter((target) => !volumesOf(name).includes(target));
      assert.deepEqual(targets(changed), kept);
    });
  });
}

test('what virt-install makes is read as a manifest would say it', () => {
  assert.deepEqual(foreign('virt-install').reading, {
    machine: {
      resources: { memory: '2Gi', cpu: '2' },
      cpu: { model: 'host-passthrough' },
      machineType: 'pc-q35-7.2',
      clock: { offset: 'utc' },
      volumes: [
        {
          name: 'vda',
          source: { file: { path: '/srv/images/web.qcow2' } },
          kind: 'disk',
          bus: 'virtio',
          format: 'qcow2',
          target: 'vda',
          cache: 'writeback',
          discard: 'unmap',
        },
        {
          name: 'sda',
          kind: 'cdrom',
          bus: 'sata',
          format: 'raw',
          target: 'sda',
          cache: 'writeback',
          discard: 'ignore',
        },
      ],
      networks: [{ name: 'br0', type: 'bridge', mac: '52:54:00:6b:3c:58', model: 'virtio' }],
    },
    kept: [
      'metadata libosinfo:libosinfo',
      'serial console without a log',
      'channel spicevmc com.redhat.spice.0 virtio',
      'input tablet usb',
      'graphics spice',
      'sound ich9',
      'audio spice',
      'video virtio',
      'redirdev spicevmc usb',
    ],
  });
});

const SEEN: Readonly<Record<string, readonly string[]>> = {
  'virt-manager-windows': [
    'nvram /data/nvram/accounting.fd',
    'clock timer name=hypervclock present=yes',
    'disk sda: serial "QM 00001"',
    'feature hyperv custom',
    'no serial console',
    'title',
    'on_crash preserve',
    'graphics vnc',
    'hostdev subsystem usb',
  ],
  cockpit: [
    'currentMemory 2Gi',
    'cpu feature svm',
    'boot network',
    'disk vda: driver error_policy=report',
    'disk vda: iotune',
    'interface 52:54:00:aa:bb:04: mtu',
    'disk file cdrom hdc',
    'interface 52:54:00:aa:bb:03 (network network=default)',
    'memballoon none',
  ],
  'proxmox-like': [
    'vcpu cpuset=0-1',
    'clock offset=variable',
    'interface BC:24:11:AA:BB:06 (bridge bridge=vmbr0)',
    'iothreads 1',
    'disk block disk sdb',
    'controller scsi virtio-scsi',
    'serial pty',
  ],
  'many-kinds': [
    'cpu mode=maximum',
    'memoryBacking',
    'disk network disk vda',
    'disk file disk vdb',
    'interface 52:54:00:aa:bb:07 (direct dev=eth0 mode=bridge)',
    'hostdev subsystem pci',
  ],
};

for (const [name, words] of Object.entries(SEEN)) {
  test(`what no manifest can say of ${name} is named`, () => {
    const { kept } = foreign(name).reading;
    assert.deepEqual(
      words.filter((word) => !kept.includes(word)),
      [],
      kept.join('\n'),
    );
  });
}

test('neither passwords nor what people have written are told', () => {
  const told = JSON.stringify(foreign('virt-manager-windows').reading);
  for (const text of ['secret', 'Accounting', 'Smith']) assert.ok(!told.includes(text), text);
});

test('a domain with much in its metadata and many devices is read in one go', () => {
  const metadata = `<x:a xmlns:x="urn:x">${'<x:b/>'.repeat(50_000)}</x:a>${'<y/>'.repeat(50_000)}`;
  const disks = Array.from(
    { length: 2_000 },
    (_, index) =>
      `<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/srv/${index}'/><target dev='vd${index}' bus='virtio'/></disk>`,
  );
  const { document } = adopted('virt-install');
  const large = DomainDocument.parse(
    document
      .toString()
      .replace('</metadata>', `${metadata}</metadata>`)
      .replace('</devices>', `${disks.join('')}</devices>`),
  );
  assert.equal(large.volumes.filter(({ isOurs }) => isOurs).length, 2);
  assert.match(large.kept.at(-1) ?? '', /^and \d+ more$/);
  assert.equal(large.keptDisks.length, 2_000);
});

test('disks that were kept are known as such', () => {
  assert.deepEqual(adopted('cockpit').document.keptDisks, ['hdc']);
  assert.deepEqual(adopted('proxmox-like').document.keptDisks, ['sdb']);
  assert.deepEqual(foreign('cockpit').keptDisks, []);
});

test('one field of an adopted disk is changed, and nothing that its maker has left out is put in', () => {
  const { document, machine } = adopted('virt-install');
  const volumes = (machine.volumes ?? []).map((volume) =>
    volume.name === 'vda' ? { ...volume, cache: 'none' as const } : volume,
  );
  const changed = document.withMachine({ ...machine, volumes }, OPTIONS);
  assert.deepEqual(linesOnlyIn(changed, document), [
    "<driver name='qemu' type='qcow2' discard='unmap' cache='none'/>",
  ]);
});

test('a new volume and a new network stand beside those that were adopted', () => {
  const { document, machine } = adopted('virt-install');
  const added = machineSchema.parse({
    ...machine,
    volumes: [
      ...(machine.volumes ?? []),
      { name: 'data', format: 'raw', source: { file: { path: '/srv/images/data.img' } } },
    ],
    networks: [...(machine.networks ?? []), { name: 'lan', type: 'bridge', bridge: 'br1' }],
  });
  const changed = document.withMachine(added, OPTIONS);
  assert.deepEqual(
    changed.volumes.map(({ name, target, isOurs }) => [name, target, isOurs]),
    [
      ['vda', 'vda', true],
      ['sda', 'sda', true],
      ['data', 'vdb', true],
    ],
  );
  assert.deepEqual(
    changed.interfaces.map(({ name }) => name),
    ['br0', 'lan'],
  );
});

test('a disk that somebody attaches to an adopted domain is not taken for a volume', () => {
  const { document } = adopted('virt-install');
  const more = document
    .toString()
    .replace(
      "<controller type='usb'",
      "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/x'/><target dev='vdz' bus='virtio'/></disk><controller type='usb'",
    );
  const found = DomainDocument.parse(more);
  assert.deepEqual(found.drift, []);
  assert.ok(found.kept.some((word) => word.includes('vdz')));
});

test('what somebody changes of an adopted domain is drift', () => {
  const { document } = adopted('cockpit');
  for (const [from, to, part] of [
    ['4194304', '8388608', 'memory'],
    ["current='1'>4<", "current='1'>8<", 'cpu'],
    ['/srv/images/db.qcow2', '/srv/images/snapshot.qcow2', 'volumes'],
    ["bridge='br0'", "bridge='br9'", 'networks'],
    ["offset='utc'", "offset='localtime'", 'clock'],
  ] as const) {
    const changed = DomainDocument.parse(document.toString().replace(from, to));
    assert.deepEqual(changed.drift, [part], part);
  }
});

test('an agent that does not know what adopted means must not take the manifest for complete', () => {
  const { document } = adopted('virt-install');
  const xml = document.toString();
  assert.equal(document.definition?.newer, undefined);
  for (const other of [
    xml.replace("version='2'", "version='1'"),
    xml.replace("version='2'", "version='3'"),
    // As a newer agent may have it, of a domain that is its own.
    xml.replace(/ adopted='[^']*'/, ''),
  ]) {
    assert.notEqual(DomainDocument.parse(other).definition?.newer, undefined);
  }
});

test('what is changed of an adopted domain leaves it known as adopted', () => {
  const { document } = adopted('virt-install');
  const { definition } = document;
  assert.ok(definition !== undefined);
  const labelled = { ...definition, generation: 2, labels: { app: 'shop' } };
  const changed = document.withDefinition(labelled).withFacts({ ownershipEpoch: 2, owner: 'b' });
  assert.deepEqual(changed.definition, { ...labelled, ownershipEpoch: 2, owner: 'b' });
  assert.deepEqual(changed.drift, []);
  assert.match(changed.metadataWithFacts({}) ?? '', /^<vm version='2' .* adopted='vda sda'/);
});

test('a copy of an adopted domain under another uuid is read as somebody else made it', () => {
  const { document } = adopted('cockpit');
  const copy = DomainDocument.parse(
    document.toString().replace(/<uuid>.*<\/uuid>/, `<uuid>${tinyVm().uid}</uuid>`),
  );
  assert.equal(copy.definition, undefined);
  assert.deepEqual(copy.reading.machine, foreign('cockpit').reading.machine);
});
