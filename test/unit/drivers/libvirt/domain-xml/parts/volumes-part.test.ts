import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Volume } from '../../../../../../src/core/resources/volume.ts';
import { buildDomainXml } from '../../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import {
  definition,
  machine,
  tcgOptions,
  volume,
} from '../../../../../fixtures/domain-xml/definitions.ts';

const file = (name: string, changes: Partial<Volume> = {}) =>
  volume({ name, source: { file: { path: `/srv/${name}` } }, ...changes });

function build(...volumes: readonly Volume[]): DomainDocument {
  return DomainDocument.parse(
    buildDomainXml(definition({}, { volumes: [...volumes] }), tcgOptions),
  );
}

function change(document: DomainDocument, ...volumes: readonly Volume[]): DomainDocument {
  return document.withMachine(machine({ volumes: [...volumes] }), tcgOptions);
}

const targets = (document: DomainDocument) =>
  document.volumes.map(({ name, target }) => `${name} ${target}`).toSorted();

/** The element of one volume, a line each. */
function lines(document: DomainDocument, name: string): readonly string[] {
  const disks = document.toString().match(/<disk [\s\S]*?<\/disk>/g) ?? [];
  const disk = disks.find((xml) => xml.includes(`<alias name='ua-disk-${name}'/>`)) ?? '';
  return disk.split('\n').map((line) => line.trim());
}

/** Lines that a change takes away and brings. */
function difference(before: readonly string[], after: readonly string[]): readonly string[] {
  return [
    ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`),
  ];
}

void test('a file, a block device and a CD-ROM are given to QEMU as what they are', () => {
  const document = build(
    file('a'),
    volume({ name: 'b', source: { block: { path: '/dev/vg/b' } }, format: undefined }),
    file('c', { kind: 'cdrom', format: 'raw' }),
  );
  assert.deepEqual(lines(document, 'a'), [
    "<disk type='file' device='disk'>",
    "<driver name='qemu' type='qcow2' cache='none' discard='unmap' error_policy='stop'/>",
    "<source file='/srv/a'/>",
    "<target dev='vda' bus='virtio'/>",
    '<serial>a</serial>',
    "<alias name='ua-disk-a'/>",
    '</disk>',
  ]);
  assert.deepEqual(difference(lines(document, 'a'), lines(document, 'b')).slice(-6), [
    "+ <disk type='block' device='disk'>",
    "+ <driver name='qemu' type='raw' cache='none' discard='unmap' error_policy='stop'/>",
    "+ <source dev='/dev/vg/b'/>",
    "+ <target dev='vdb' bus='virtio'/>",
    '+ <serial>b</serial>',
    "+ <alias name='ua-disk-b'/>",
  ]);
  assert.deepEqual(lines(document, 'c').slice(0, 1), ["<disk type='file' device='cdrom'>"]);
  assert.ok(lines(document, 'c').includes("<target dev='sda' bus='sata'/>"));
  assert.ok(lines(document, 'c').includes('<readonly/>'));
});

void test('each field changes what says it, and nothing else', () => {
  const before = build(file('a'));
  const changes: readonly (readonly [Partial<Volume>, readonly string[]])[] = [
    [{ io: 'native' }, ["io='native'"]],
    [{ cache: 'writeback' }, ["cache='writeback'"]],
    [{ discard: 'ignore' }, ["discard='ignore'"]],
    [{ errorPolicy: 'enospace' }, ["error_policy='enospace'"]],
    [{ errorPolicy: 'report' }, ["error_policy='report'"]],
    [{ format: 'raw' }, ["type='raw'"]],
    [{ serial: 'WD-1' }, ['<serial>WD-1</serial>']],
    [{ readOnly: true }, ['<readonly/>']],
    [{ bootOrder: 2 }, ["<boot order='2'/>"]],
    [{ source: { block: { path: '/dev/sdx' } } }, ["type='block'", "<source dev='/dev/sdx'/>"]],
  ];
  for (const [fields, traces] of changes) {
    const after = change(before, file('a', fields));
    const all = lines(after, 'a').join('\n');
    for (const trace of traces) assert.ok(all.includes(trace), `${trace} in ${all}`);
    const changed = difference(lines(before, 'a'), lines(after, 'a'));
    assert.equal(changed.filter((line) => line.startsWith('+')).length, traces.length);
    assert.equal(change(after, file('a')).toString(), before.toString());
  }
});

void test('what stands in no element changes none', () => {
  const before = build(file('a'));
  const after = change(before, file('a', { shared: true, accessMode: 'ReadWriteMany' }));
  assert.equal(after.toString(), before.toString());
});

void test('what others have added to a volume stays', () => {
  const plain = build(file('a'));
  const tuned = DomainDocument.parse(
    plain
      .toString()
      .replace("error_policy='stop'/>", "error_policy='stop' iothread='1'/>\n<iotune><x/></iotune>")
      .replace("<source file='/srv/a'/>", "<source file='/srv/a' startupPolicy='optional'/>"),
  );
  const after = change(tuned, file('a', { cache: 'writeback', serial: 's' }));
  assert.deepEqual(difference(lines(tuned, 'a'), lines(after, 'a')), [
    "- <driver name='qemu' type='qcow2' cache='none' discard='unmap' error_policy='stop' iothread='1'/>",
    '- <serial>a</serial>',
    "+ <driver name='qemu' type='qcow2' cache='writeback' discard='unmap' error_policy='stop' iothread='1'/>",
    '+ <serial>s</serial>',
  ]);
});

void test('limits and threads are set, changed and taken out, and those of others stay', () => {
  const plain = build(file('a'));
  const limits = { readIops: 100, burst: { readIops: 500, seconds: 3 } };
  const definitionOf = (changes: Partial<Volume>) =>
    definition({}, { iothreads: 2, volumes: [file('a', changes)] });
  const limited = DomainDocument.parse(
    buildDomainXml(definitionOf({ iotune: limits, iothread: 2 }), tcgOptions),
  );
  assert.match(limited.toString(), /<iothreads>2<\/iothreads>/);
  const tuned = difference(lines(plain, 'a'), lines(limited, 'a'));
  assert.deepEqual(tuned.filter((line) => line.startsWith('+')).slice(1), [
    '+ <iotune>',
    '+ <read_iops_sec>100</read_iops_sec>',
    '+ <read_iops_sec_max>500</read_iops_sec_max>',
    '+ <read_iops_sec_max_length>3</read_iops_sec_max_length>',
    '+ </iotune>',
  ]);
  assert.ok(tuned.some((line) => line.includes("error_policy='stop' iothread='2'")));
  const grouped = DomainDocument.parse(
    limited.toString().replace('</iotune>', '<group_name>g</group_name></iotune>'),
  );
  const changedTo = (document: DomainDocument, changes: Partial<Volume>, iothreads?: number) =>
    document.withMachine(
      machine({ volumes: [file('a', changes)], ...(iothreads && { iothreads }) }),
      tcgOptions,
    );
  const other = changedTo(grouped, { iotune: { totalBytesPerSecond: '1Mi' }, iothread: 1 }, 3);
  const all = other.toString().replaceAll(/\n\s*/g, '');
  assert.match(all, /<iothreads>3</);
  assert.match(all, /iothread='1'/);
  assert.match(
    all,
    /<iotune><group_name>g<\/group_name><total_bytes_sec>1048576<\/total_bytes_sec><\/iotune>/,
  );
  const none = changedTo(limited, {});
  assert.deepEqual(lines(none, 'a'), lines(plain, 'a'));
  assert.doesNotMatch(none.toString(), /<iothreads>|iothread='|<iotune>/);
  // What the machine has never said is somebody else's.
  const byHand = limited.withDefinition(definition({}, { volumes: [file('a')] }));
  assert.equal(changedTo(byHand, {}).toString(), byHand.toString());
});

void test('NVMe disks have a controller and a serial number of their own, and keep a VM here', () => {
  const document = build(
    file('a', { bus: 'nvme', bootOrder: 1 }),
    file('b', { bus: 'nvme', serial: 'WD-2' }),
    file('c'),
  );
  assert.deepEqual(targets(document), ['a nvme0n1', 'b nvme1n1', 'c vda']);
  assert.ok(lines(document, 'b').includes("<target dev='nvme1n1' bus='nvme'/>"));
  assert.ok(lines(document, 'b').includes('<serial>WD-2</serial>'));
  assert.deepEqual(document.boundDevices, ['NVMe disk (nvme0n1)', 'NVMe disk (nvme1n1)']);
  const moved = change(document, file('b', { bus: 'nvme' }), file('a', { bus: 'virtio' }));
  assert.deepEqual(targets(moved), ['a vda', 'b nvme1n1']);
});

void test('a long name becomes a serial number that is short and its own', () => {
  const serials = ['a-name-of-more-than-20', 'a-name-of-more-than-21'].map(
    (name) => build(file(name)).volumes[0]?.serial ?? '',
  );
  assert.ok(serials.every((serial) => serial.length === 20 && serial.startsWith('a-name-of-m')));
  assert.equal(new Set(serials).size, 2);
});

void test('volumes get the first free guest devices of their bus, in order', () => {
  const document = build(
    file('a'),
    file('b', { target: 'vda' }),
    file('c', { bus: 'scsi' }),
    file('d', { kind: 'cdrom' }),
    file('e', { target: 'sda', bus: 'sata' }),
    file('f'),
  );
  assert.deepEqual(targets(document), ['a vdb', 'b vda', 'c sdb', 'd sdc', 'e sda', 'f vdc']);
});

void test('a volume keeps its guest device while others come and go', () => {
  const before = build(file('a'), file('b'), file('c'));
  const after = change(before, file('new'), file('c'), file('b'));
  assert.deepEqual(targets(after), ['b vdb', 'c vdc', 'new vda']);
  assert.deepEqual(targets(change(after, file('c'), file('a'))), ['a vda', 'c vdc']);
});

void test('a guest device that another volume asks for is given up', () => {
  const before = build(file('a'), file('b'));
  const after = change(before, file('a'), file('b', { target: 'vda' }));
  assert.deepEqual(targets(after), ['a vdb', 'b vda']);
});

void test('a volume on another bus is another device', () => {
  const before = build(file('a'), file('b'));
  const after = change(before, file('a', { bus: 'scsi' }), file('b'));
  assert.deepEqual(targets(after), ['a sda', 'b vdb']);
  assert.match(after.toString(), /<controller type='scsi' index='0' model='virtio-scsi'\/>/);
});

void test("guest devices of other makers' disks are left to them", () => {
  const sink = DomainDocument.parse(
    readFileSync(
      new URL('../../../../../fixtures/domain-xml/libvirt/kitchen-sink.xml', import.meta.url),
      'utf8',
    ),
  );
  const after = change(sink, file('a'), file('b', { kind: 'cdrom' }));
  assert.deepEqual(targets(after), ['a vdc', 'b sdb', ...targets(sink)].toSorted());
  assert.deepEqual(targets(change(after)), targets(sink));
});

void test('more disks than there are guest devices are refused', () => {
  const full = build(...Array.from({ length: 26 }, (_, index) => file(`v${index}`)));
  const foreign = DomainDocument.parse(full.toString().replace('ua-disk-v0', 'other'));
  assert.throws(() => change(foreign, ...Array.from({ length: 26 }, (_, i) => file(`v${i}`))), {
    reason: 'INVALID_SPEC',
  });
});

void test('an encrypted disk names the secret with its key, which is the same wherever the VM is, and no other disk has', () => {
  const encryption = { secret: 'disk-key' };
  const document = build(file('a', { encryption }), file('b', { encryption }), file('c'));
  const source = (name: string) => /<source .*<\/source>/.exec(lines(document, name).join(''))?.[0];
  const secretOf = (name: string) => /uuid='([^']+)'/.exec(source(name) ?? '')?.[1] ?? '';
  assert.equal(
    source('a'),
    `<source file='/srv/a'><encryption format='luks'><secret type='passphrase' uuid='${secretOf('a')}'/></encryption></source>`,
  );
  assert.match(
    secretOf('a'),
    /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/,
  );
  assert.notEqual(secretOf('a'), secretOf('b'));
  assert.equal(source('c'), undefined);
  const again = change(document, file('a', { encryption }), file('b', { encryption }), file('c'));
  assert.equal(again.toString(), document.toString());
});

void test('a secret that somebody has changed is put back, and encryption that no volume speaks of stays', () => {
  const encryption = { secret: 'disk-key' };
  const document = build(file('a', { encryption }), file('b'));
  const theirs = "<encryption format='luks'><secret type='passphrase' uuid='x'/></encryption>";
  const changed = DomainDocument.parse(
    document
      .toString()
      .replace(/uuid='[0-9a-f]{8}-[0-9a-f]{4}-8[^']*'/, "uuid='theirs'")
      .replace("<source file='/srv/b'/>", `<source file='/srv/b'>${theirs}</source>`),
  );
  const back = change(changed, file('a', { encryption }), file('b'));
  assert.deepEqual(lines(back, 'a'), lines(document, 'a'));
  assert.deepEqual(lines(back, 'b'), lines(changed, 'b'));
});
