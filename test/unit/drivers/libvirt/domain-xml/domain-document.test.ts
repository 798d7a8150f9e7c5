import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Machine } from '../../../../../src/core/resources/machine.ts';
import {
  maxMemoryBytesOf,
  memoryBytesOf,
  vcpusOf,
} from '../../../../../src/core/resources/machine-amounts.ts';
import { busOf, targetsOn } from '../../../../../src/core/resources/volume.ts';
import { buildDomainXml } from '../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import { readCurrentVcpus } from '../../../../../src/drivers/libvirt/domain-xml/parts/cpu-count.ts';
import { readMemory } from '../../../../../src/drivers/libvirt/domain-xml/parts/memory-part.ts';
import {
  anyDefinition,
  anyMachine,
  definition,
  expectedMachine,
  MIB,
  machine,
  readBoard,
  readMachine,
  specOf,
  tcgOptions,
  volume,
} from '../../../../fixtures/domain-xml/definitions.ts';

const FIXTURES = new URL('../../../../fixtures/domain-xml/libvirt/', import.meta.url);
const fixtures = readdirSync(FIXTURES);
const read = (name: string) => readFileSync(new URL(name, FIXTURES), 'utf8');
const sink = () => DomainDocument.parse(read('kitchen-sink.xml'));
const machineOf = (document: DomainDocument): Machine | undefined =>
  document.definition?.spec.template.spec;

assert.ok(fixtures.length >= 6);

for (const name of fixtures) {
  void test(`${name} comes back byte for byte`, () => {
    assert.equal(DomainDocument.parse(read(name)).toString(), read(name));
  });
}

void test('a domain that we started says what it was made from', () => {
  const document = DomainDocument.parse(read('live-running.xml'));
  const wanted = machineOf(document);
  assert.ok(wanted);
  assert.equal(document.definition?.name, 'live');
  assert.equal(document.name, 'default_live');
  assert.equal(document.accelerator, 'tcg');
  assert.equal(document.consoleLogPath, '/var/log/libvirt/qemu/web-console.log');
  const { volumes, ...rest } = readMachine(document);
  const expected = expectedMachine(wanted, { ...tcgOptions, defaultMachineType: 'pc-q35-7.2' });
  assert.deepEqual({ ...rest, volumes }, expected);
});

void test('a UEFI domain says so after libvirt has chosen its firmware', () => {
  const { boot } = DomainDocument.parse(read('uefi-running.xml'));
  assert.deepEqual(boot, { firmware: 'uefi', secureBoot: undefined, kernel: undefined });
});

for (const name of ['live-running.xml', 'kvm-inactive.xml', 'uefi-inactive.xml']) {
  void test(`the machine that ${name} was made from changes nothing in what libvirt made of it`, () => {
    const document = DomainDocument.parse(read(name));
    const wanted = machineOf(document);
    assert.ok(wanted);
    const options = { ...tcgOptions, oddRamSize: true };
    assert.equal(document.withMachine(wanted, options).toString(), read(name));
  });
}

void test('a domain of another maker has no definition, and its elements are told as they are', () => {
  assert.equal(sink().definition, undefined);
  assert.equal(sink().consoleLogPath, undefined);
  const { volumes, memoryBytes, cpu } = sink();
  assert.equal(memoryBytes, 2048 * MIB);
  assert.deepEqual(cpu, { vcpus: 4, model: 'qemu64' });
  assert.deepEqual(
    volumes.map(({ name, path, isBlock, cache, readOnly }) => [
      name,
      path,
      isBlock,
      cache,
      readOnly,
    ]),
    [
      ['vda', undefined, false, 'unsafe', false],
      ['vdb', '/dev/example/lv0', true, 'none', false],
      ['sda', undefined, false, 'writeback', true],
      ['fda', "/srv/a&b 'c'.img", false, 'writeback', false],
    ],
  );
});

void test('a machine that is already there changes nothing', () => {
  fc.assert(
    fc.property(anyDefinition, (from) => {
      const options = { ...tcgOptions, oddRamSize: true };
      const document = DomainDocument.parse(buildDomainXml(from, options));
      const after = document.withMachine(from.spec.template.spec, options);
      assert.equal(after.toString(), document.toString());
    }),
  );
});

void test('a domain changed from any machine to any other is the other', () => {
  fc.assert(
    fc.property(anyMachine, anyMachine, fc.boolean(), (one, other, oddRamSize) => {
      const options = { ...tcgOptions, oddRamSize };
      const from = definition({ spec: specOf(one) });
      const old = DomainDocument.parse(buildDomainXml(from, tcgOptions));
      const changed = old.withMachine(other, options);
      const expected = expectedMachine(other, {
        ...options,
        defaultMachineType: old.machineType,
        defaultCpuModel: old.cpu.model ?? '',
      });
      // q35 stands for any version of it, so the present one stays.
      const machineType = other.machineType === 'q35' ? old.machineType : expected.machineType;
      assert.deepEqual(readMachine(changed), { ...expected, machineType });
      assert.equal(changed.withMachine(other, options).toString(), changed.toString());
      const grows = maxMemoryBytesOf(other) > memoryBytesOf(other);
      assert.equal(changed.toString().includes('id=ram0'), oddRamSize && !grows);
      assert.equal(readMemory(changed.text.root).growing !== undefined, grows);
      assert.equal(readMemory(changed.text.root).bootBytes, memoryBytesOf(other));
      assert.equal(readCurrentVcpus(changed.text.root), vcpusOf(other));
      assertPlaced(changed, other);
    }),
    { numRuns: 300 },
  );
});

/** Each volume has a guest device of its own, which suits its bus and is the one it asks for. */
function assertPlaced(document: DomainDocument, wanted: Machine): void {
  const targets = new Map(document.volumes.map(({ name, target }) => [name, target]));
  assert.equal(new Set(targets.values()).size, document.volumes.length);
  for (const volume of wanted.volumes ?? []) {
    const target = targets.get(volume.name) ?? '';
    assert.ok(targetsOn(busOf(volume)).includes(target), target);
    if (volume.target !== undefined) assert.equal(target, volume.target);
  }
}

void test('another machine leaves what we do not know in a foreign domain', () => {
  const before = sink();
  const wanted = machine({ resources: { cpu: '6', memory: '4Gi' }, cpu: { model: 'EPYC' } });
  const after = before.withMachine(wanted, { ...tcgOptions, oddRamSize: true });
  const xml = after.toString();
  assert.deepEqual(after.cpu, { vcpus: 6, model: 'EPYC' });
  assert.equal(after.memoryBytes, 4096 * MIB);
  const lost = before
    .toString()
    .split('\n')
    .filter((line) => !xml.includes(line));
  assert.deepEqual(
    lost.map((line) => line.trim()),
    [
      "<memory unit='KiB'>2097152</memory>",
      "<currentMemory unit='KiB'>1048576</currentMemory>",
      "<vcpu placement='static' cpuset='0-1' current='2'>4</vcpu>",
      '<vcpus>',
      "<vcpu id='0' enabled='yes' hotpluggable='no' order='1'/>",
      "<vcpu id='1' enabled='yes' hotpluggable='yes' order='2'/>",
      "<vcpu id='2' enabled='no' hotpluggable='yes'/>",
      "<vcpu id='3' enabled='no' hotpluggable='yes'/>",
      '</vcpus>',
      "<cpu mode='custom' match='exact' check='partial'>",
      "<model fallback='allow'>qemu64</model>",
      "<topology sockets='2' dies='1' cores='2' threads='1'/>",
    ],
  );
  assert.match(xml, /value='name=opt\/example,string=a,,b &lt;c&gt;'/);
  assert.match(xml, /id=ram0,size=4294975488/);
});

void test('as many CPUs as there are at most are all there at the next start', () => {
  const xml = sink()
    .withMachine(machine({ resources: { cpu: '4', memory: '2Gi' } }), tcgOptions)
    .toString();
  assert.match(xml, /<vcpu placement='static' cpuset='0-1'>4<\/vcpu>/);
  assert.doesNotMatch(xml, /<vcpus>|enabled='no' hotpluggable/);
});

void test('a topology comes to a domain that has none', () => {
  const topology = { sockets: 2, cores: 1, threads: 1 };
  const bare = buildDomainXml(definition(), tcgOptions).replace(/\s*<topology [^>]*>/, '');
  const none = bare.replace(/\s*<cpu [\s\S]*<\/cpu>/, '');
  for (const source of [bare, none]) {
    const after = DomainDocument.parse(source).withMachine(
      machine({ cpu: { topology } }),
      tcgOptions,
    );
    assert.match(after.toString(), /<topology sockets='2' dies='1' cores='1' threads='1'\/>/);
  }
});

void test('a comment, odd quoting and spacing inside tags stay', () => {
  const odd = `<!-- top --><domain  type = "qemu" ><name>a</name><!-- in --><uuid>${definition().uid}</uuid
    ><vcpu >1</vcpu><memory>65536</memory><os><type machine="pc-q35-7.2">hvm</type></os><devices/></domain>\n<?end?>`;
  const after = DomainDocument.parse(odd).withMachine(
    machine({ resources: { cpu: '2', memory: '64Mi' }, volumes: [] }),
    tcgOptions,
  );
  assert.equal(
    after.toString().replace("\n  <currentMemory unit='KiB'>65536</currentMemory>\n", ''),
    odd.replace('<vcpu >1', '<vcpu >2'),
  );
});

void test('firmware and kernel change each by itself', () => {
  const kernel = { path: '/srv/vmlinuz', initrd: undefined, commandLine: 'quiet' };
  const bios = DomainDocument.parse(buildDomainXml(definition(), tcgOptions));
  const both = bios.withMachine(machine({ firmware: { type: 'uefi' }, kernel }), tcgOptions);
  assert.deepEqual(both.boot, { firmware: 'uefi', secureBoot: undefined, kernel });
  const uefi = both.withMachine(machine({ firmware: { type: 'uefi' } }), tcgOptions);
  assert.deepEqual(uefi.boot, { firmware: 'uefi', secureBoot: undefined, kernel: undefined });
  const onlyKernel = both.withMachine(machine({ kernel }), tcgOptions);
  assert.deepEqual(onlyKernel.boot, { firmware: 'bios', secureBoot: undefined, kernel });
  assert.doesNotMatch(onlyKernel.toString(), /firmware|loader|nvram/);
  assert.equal(bios.withMachine(machine(), tcgOptions).toString(), bios.toString());
});

void test('a domain that is as its definition says has not drifted', () => {
  fc.assert(
    fc.property(anyDefinition, fc.boolean(), (wanted, oddRamSize) => {
      const options = { ...tcgOptions, oddRamSize };
      assert.deepEqual(DomainDocument.parse(buildDomainXml(wanted, options)).drift, []);
    }),
  );
  for (const name of ['live-running.xml', 'kvm-inactive.xml', 'uefi-inactive.xml']) {
    assert.deepEqual(DomainDocument.parse(read(name)).drift, [], name);
  }
});

for (const [part, from, to] of [
  ['memory', />(\d+)<\/memory>/, '>98304</memory>'],
  ['cpu', />(\d+)<\/vcpu>/, '>7</vcpu>'],
  ['boot', /<kernel>[^<]*</, '<kernel>/boot/another<'],
  ['volumes', /file='[^']*\.qcow2'/, "file='/images/overlay.snap1'"],
] as const) {
  void test(`another ${to} is a drift of its ${part}`, () => {
    const xml = read('live-running.xml');
    assert.match(xml, from);
    assert.deepEqual(DomainDocument.parse(xml.replace(from, to)).drift, [part]);
  });
}

/** The disk for cloud-init: its kind, guest device, bus and place. */
function seedOf(document: DomainDocument): string | undefined {
  const disks = document.toString().matchAll(/<disk type='file' device='(\w+)'>[\s\S]*?<\/disk>/g);
  for (const [xml, kind] of disks) {
    if (!xml.includes("<alias name='ua-seed'/>")) continue;
    const [, target, bus] = /<target dev='(\w+)' bus='(\w+)'/.exec(xml) ?? [];
    return [kind, target, bus, /unit='(\d+)'/.exec(xml)?.[1] ?? ''].join(' ').trim();
  }
  return undefined;
}

for (const [title, volumes, seed] of [
  ['without a disk', [], 'disk vdz virtio'],
  ['with one on virtio', [volume()], 'disk vdz virtio'],
  ['with one on virtio that comes second', [volume({ target: 'vdb' })], 'disk vdz virtio'],
  ['with the last place taken', [volume({ target: 'vdz' })], 'disk vdy virtio'],
  ['with one on SCSI', [volume({ bus: 'scsi' })], 'cdrom sdz scsi 25'],
  ['with one on SATA', [volume({ bus: 'sata' })], 'cdrom sdz sata 5'],
  ['with the sixth of SATA', [volume({ bus: 'sata', target: 'sdf' })], 'cdrom sdz sata 4'],
  [
    'that boots from SCSI',
    [volume(), volume({ name: 'own', bus: 'scsi', bootOrder: 1 })],
    'cdrom sdz scsi 25',
  ],
  [
    'with a CD-ROM before its disk',
    [volume({ name: 'cd', kind: 'cdrom', bootOrder: 1 }), volume({ bootOrder: 2 })],
    'disk vdz virtio',
  ],
] as const) {
  void test(`the disk for cloud-init of a machine ${title} is ${seed}`, () => {
    const told = machine({ volumes: [...volumes], cloudInit: {} });
    const made = DomainDocument.parse(buildDomainXml(definition({}, told), tcgOptions));
    assert.deepEqual([seedOf(made), made.drift], [seed, []]);
    const plain = machine({ volumes: [...volumes] });
    const before = DomainDocument.parse(buildDomainXml(definition({}, plain), tcgOptions));
    const changed = before.withMachine(told, tcgOptions);
    assert.equal(seedOf(changed), seed);
    assert.deepEqual(readMachine(changed), readMachine(before));
    const back = changed.withMachine(plain, tcgOptions);
    assert.equal(seedOf(back), undefined);
    // One that somebody has taken away can be put back: no data are on it.
    const detached = before.withDefinition(definition({}, told));
    assert.deepEqual(detached.drift, ['cloud-init']);
    assert.deepEqual(detached.withMachine(told, tcgOptions).drift, []);
  });
}

void test('a disk for cloud-init makes room for a volume that asks for its place', () => {
  const told = machine({ cloudInit: {} });
  const before = DomainDocument.parse(buildDomainXml(definition({}, told), tcgOptions));
  const more = machine({
    volumes: [volume(), volume({ name: 'z', target: 'vdz' })],
    cloudInit: {},
  });
  assert.equal(seedOf(before.withMachine(more, tcgOptions)), 'disk vdy virtio');
});

const clockAndBalloon = (document: DomainDocument) => readBoard(document).slice(0, 2);

void test('a clock and a balloon that a machine leaves open stay as they are, and are changed when it names them', () => {
  const old = buildDomainXml(definition(), tcgOptions)
    .replace("<clock offset='utc'", "<clock offset='timezone' timezone='Europe/Berlin'")
    .replace(" freePageReporting='on'", '');
  const before = DomainDocument.parse(old);
  assert.deepEqual([before.drift, clockAndBalloon(before)], [[], ['timezone', undefined]]);
  assert.equal(before.withMachine(machine(), tcgOptions).toString(), old);
  const named = machine({ clock: { offset: 'localtime' }, memory: { freePageReporting: false } });
  const after = before.withMachine(named, tcgOptions).withDefinition(definition({}, named));
  assert.equal(before.withMachine(machine({ memory: {} }), tcgOptions).toString(), old);
  assert.deepEqual([after.drift, clockAndBalloon(after)], [[], ['localtime', undefined]]);
  assert.ok(!after.toString().includes('timezone'));
  const reporting = machine({ memory: { freePageReporting: true } });
  assert.deepEqual(clockAndBalloon(after.withMachine(reporting, tcgOptions)), ['utc', 'on']);
  const moved = after.toString().replace("offset='localtime'", "offset='utc'");
  assert.deepEqual(DomainDocument.parse(moved).drift, ['clock']);
});

void test('what the guest has left in its balloon is no drift, what it is to begin with is', () => {
  const [live, next] = ['live-running.xml', 'kvm-inactive.xml'].map((name) =>
    read(name).replace(/>(\d+)<\/currentMemory>/, '>65536</currentMemory>'),
  );
  assert.deepEqual(DomainDocument.parse(live ?? '').drift, []);
  assert.deepEqual(DomainDocument.parse(next ?? '').drift, ['memory']);
});

void test('what others add is no drift, nor is what is not ours or not all understood', () => {
  const xml = read('live-running.xml');
  const added = xml.replace('</devices>', "<hostdev mode='subsystem' type='usb'/></devices>");
  assert.deepEqual(DomainDocument.parse(added).drift, []);
  const changed = xml.replace(/>(\d+)<\/memory>/, '>98304</memory>');
  const foreign = changed.replaceAll('https://novacron.io/xmlns/vm/1', 'https://example.com/other');
  assert.deepEqual(DomainDocument.parse(foreign).drift, []);
  const newer = changed.replace('version="1"', 'version="2"');
  assert.deepEqual(DomainDocument.parse(newer).drift, []);
});

function hugepagesOf(backing: string): string | undefined {
  return DomainDocument.parse(`<domain><memoryBacking>${backing}</memoryBacking></domain>`)
    .hugepages;
}

test('huge pages of a domain of somebody else are read by their size', () => {
  assert.equal(hugepagesOf('<locked/>'), undefined);
  assert.equal(hugepagesOf('<hugepages/>'), '2Mi');
  assert.equal(hugepagesOf("<hugepages><page size='2048' unit='KiB'/></hugepages>"), '2Mi');
  assert.equal(hugepagesOf("<hugepages><page size='1048576'/></hugepages>"), '1Gi');
  assert.equal(hugepagesOf("<hugepages><page size='1' unit='G'/></hugepages>"), '1Gi');
});

const features = (from: DomainDocument) =>
  [...from.toString().matchAll(/<feature policy='(\w+)' name='(\w+)'/g)].map(
    ([, policy, name]) => `${policy} ${name}`,
  );

void test('a CPU feature that the manifest has no more is taken out, and others are left to whoever has set them', () => {
  const ours = DomainDocument.parse(
    buildDomainXml(definition({}, { cpu: { features: ['+avx2', '-svm'] } }), tcgOptions),
  );
  assert.deepEqual(features(ours), ['require avx2', 'disable svm']);
  const own = DomainDocument.parse(
    ours.toString().replace('</cpu>', "  <feature policy='require' name='hypervisor'/>\n  </cpu>"),
  );
  assert.deepEqual(own.drift, []);
  const changed = own.withMachine(machine({ cpu: { features: ['+svm', '+aes'] } }), tcgOptions);
  assert.deepEqual(features(changed), ['require svm', 'require hypervisor', 'require aes']);
  assert.deepEqual(features(own.withMachine(machine(), tcgOptions)), ['require hypervisor']);
  // Of one that is nobody's, nothing is known to be ours.
  const foreign = DomainDocument.parse(
    own.toString().replace(/<metadata>[^]*<\/metadata>/, ''),
  ).withMachine(machine({ cpu: { features: ['+aes'] } }), tcgOptions);
  assert.deepEqual(features(foreign).toSorted(), [
    'disable svm',
    'require aes',
    'require avx2',
    'require hypervisor',
  ]);
});

void test('a CPU feature that somebody has taken out or turned round is a change by somebody else', () => {
  const wanted = definition({}, { cpu: { features: ['+avx2', '-svm'] } });
  const xml = buildDomainXml(wanted, tcgOptions);
  for (const other of [
    xml.replace("<feature policy='disable' name='svm'/>", ''),
    xml.replace("policy='require' name='avx2'", "policy='disable' name='avx2'"),
  ]) {
    const document = DomainDocument.parse(other);
    assert.deepEqual(document.drift, ['cpu']);
    const mended = document.withMachine(wanted.spec.template.spec, tcgOptions);
    assert.deepEqual(mended.drift, []);
  }
});

void test('a CPU comes with features to a domain that has none', () => {
  // libvirt takes features with a model alone.
  for (const own of ['', "<cpu><topology sockets='1' dies='1' cores='2' threads='1'/></cpu>"]) {
    const bare = buildDomainXml(definition(), tcgOptions).replace(/<cpu [^]*<\/cpu>/, own);
    const document = DomainDocument.parse(bare);
    const after = document.withMachine(machine({ cpu: { features: ['+aes'] } }), tcgOptions);
    assert.match(
      after.toString(),
      /<cpu mode='custom' match='exact'>[^]*<model fallback='forbid'>qemu64<\/model>[^]*<\/cpu>/,
    );
    assert.match(after.toString(), /<feature policy='require' name='aes'\/>/);
    assert.equal(document.withMachine(machine(), tcgOptions).toString(), bare);
    const kept = machine({ cpu: { features: ['+aes'], model: 'EPYC' } });
    assert.equal(document.withMachine(kept, tcgOptions).cpu.model, 'EPYC');
  }
});
