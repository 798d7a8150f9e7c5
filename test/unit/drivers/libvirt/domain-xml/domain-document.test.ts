import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { buildDomainXml } from '../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import { metadataElement } from '../../../../../src/drivers/libvirt/domain-xml/metadata.ts';
import {
  anyDefinition,
  anySpec,
  definition,
  expectedDisk,
  expectedSpec,
  MIB,
  sorted,
  spec,
  tcgOptions,
} from '../../../../fixtures/domain-xml/definitions.ts';

const FIXTURES = new URL('../../../../fixtures/domain-xml/libvirt/', import.meta.url);
const fixtures = readdirSync(FIXTURES);
const read = (name: string) => readFileSync(new URL(name, FIXTURES), 'utf8');
const sink = () => DomainDocument.parse(read('kitchen-sink.xml'));

assert.ok(fixtures.length >= 6);

function withoutOurs(xml: string): string {
  const rest = xml.replace(/\s*<novacron:vm .*<\/novacron:vm>/, '');
  return rest.replace(/\s*<metadata>\s*<\/metadata>/, '');
}

for (const name of fixtures) {
  void test(`${name} comes back byte for byte`, () => {
    assert.equal(DomainDocument.parse(read(name)).toString(), read(name));
  });

  void test(`a definition put into ${name} changes nothing else`, () => {
    const source = read(name);
    const before = DomainDocument.parse(source);
    const wanted = definition({ uid: before.uuid });
    const after = before.withDefinition(wanted);
    assert.deepEqual(after.definition, wanted);
    assert.equal(withoutOurs(after.toString()), withoutOurs(source));
    assert.equal(after.withDefinition(wanted).toString(), after.toString());
  });
}

void test('a domain that we started says what it was made from', () => {
  const document = DomainDocument.parse(read('live-running.xml'));
  assert.equal(document.definition?.name, 'live');
  assert.equal(document.name, 'default_live');
  assert.equal(document.machineType, 'pc-q35-7.2');
  assert.equal(document.accelerator, 'tcg');
  assert.equal(document.consoleLogPath, '/var/log/libvirt/qemu/web-console.log');
  const disks = document.definition.spec.disks.map(expectedDisk);
  assert.deepEqual(document.readSpec().disks, disks);
});

void test('a UEFI domain says so after libvirt has chosen its firmware', () => {
  const { boot } = DomainDocument.parse(read('uefi-running.xml')).readSpec();
  assert.deepEqual(boot, { kind: 'firmware', firmware: 'uefi' });
});

void test('a domain of another maker has no definition, and its elements are told as they are', () => {
  assert.equal(sink().definition, undefined);
  assert.equal(sink().consoleLogPath, undefined);
  const { disks, memory, cpu } = sink().readSpec();
  assert.equal(memory.sizeBytes, 2048 * MIB);
  assert.deepEqual(cpu, { vcpus: 4, model: 'qemu64' });
  assert.deepEqual(
    disks.map(({ name, path, cache, readOnly }) => [name, path, cache, readOnly]),
    [
      ['vda', undefined, 'unsafe', false],
      ['vdb', '/dev/example/lv0', 'none', false],
      ['sda', undefined, 'writeback', true],
      ['fda', "/srv/a&b 'c'.img", 'writeback', false],
    ],
  );
});

const unreadable: Record<string, (xml: string) => string> = {
  'of an unknown version': (xml) => xml.replace("version='1'", "version='2'"),
  'that is no JSON': (xml) => xml.replace('{"', '{'),
  'with a field of the wrong type': (xml) => xml.replace('generation":3', 'generation":"3"'),
  'without a field': (xml) => xml.replace('"generation":3,', ''),
  'of another namespace': (xml) => xml.replace('novacron.dev', 'example.org'),
  'of another domain, as a copy has it': (xml) => xml.replace(/<uuid>6/, '<uuid>7'),
  'that comes twice': (xml) =>
    xml.replace('<metadata>', `<metadata>${metadataElement(definition())}`),
};

for (const [name, spoil] of Object.entries(unreadable)) {
  void test(`metadata ${name} is no definition and can be replaced`, () => {
    const source = buildDomainXml(definition(), tcgOptions);
    const spoiled = spoil(source);
    assert.notEqual(spoiled, source);
    const document = DomainDocument.parse(spoiled);
    assert.equal(document.definition, undefined);
    const wanted = definition({ uid: document.uuid });
    assert.deepEqual(document.withDefinition(wanted).definition, wanted);
  });
}

void test('a field that a newer agent added is kept', () => {
  const from = { ...definition(), spec: { ...spec(), future: { colour: 'blue' } } };
  const document = DomainDocument.parse(buildDomainXml(from, tcgOptions));
  assert.deepEqual(document.definition, from);
});

void test('the prefix of the metadata does not matter, its namespace does', () => {
  const xml = buildDomainXml(definition(), tcgOptions).replaceAll('novacron:', 'n1:');
  assert.deepEqual(
    DomainDocument.parse(xml.replace('xmlns:novacron', 'xmlns:n1')).definition,
    definition(),
  );
});

void test('a spec that is already there changes nothing', () => {
  fc.assert(
    fc.property(anyDefinition, (from) => {
      const options = { ...tcgOptions, oddRamSize: true };
      const document = DomainDocument.parse(buildDomainXml(from, options));
      assert.equal(document.withSpec(from.spec, options).toString(), document.toString());
    }),
  );
});

void test('a domain changed from any spec to any other is the other', () => {
  fc.assert(
    fc.property(anySpec, anySpec, fc.boolean(), (one, other, oddRamSize) => {
      const options = { ...tcgOptions, oddRamSize };
      const old = DomainDocument.parse(buildDomainXml(definition({ spec: one }), tcgOptions));
      const changed = old.withSpec(other, options);
      const present = old.readSpec();
      const expected = expectedSpec(other, {
        ...options,
        defaultMachineType: present.machineType,
        defaultCpuModel: present.cpu.model ?? '',
      });
      // q35 stands for any version of it, so the present one stays.
      const machineType = other.machineType === 'q35' ? present.machineType : expected.machineType;
      assert.deepEqual(sorted(changed.readSpec()), sorted({ ...expected, machineType }));
      assert.equal(changed.withSpec(other, options).toString(), changed.toString());
      assert.equal(changed.toString().includes('id=ram0'), oddRamSize);
    }),
    { numRuns: 300 },
  );
});

void test('a new spec leaves what we do not know in a foreign domain', () => {
  const before = sink();
  const wanted = spec({ cpu: { vcpus: 6, model: 'EPYC' }, memory: { sizeBytes: 4096 * MIB } });
  const after = before.withSpec(wanted, { ...tcgOptions, oddRamSize: true });
  const xml = after.toString();
  assert.deepEqual(after.readSpec().cpu, wanted.cpu);
  assert.deepEqual(after.readSpec().memory, wanted.memory);
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

void test('a comment, odd quoting and spacing inside tags stay', () => {
  const odd = `<!-- top --><domain  type = "qemu" ><name>a</name><!-- in --><uuid>${definition().uid}</uuid
    ><vcpu >1</vcpu><memory>65536</memory><os><type machine="pc-q35-7.2">hvm</type></os><devices/></domain>\n<?end?>`;
  const after = DomainDocument.parse(odd).withSpec(
    spec({ cpu: { vcpus: 2, model: undefined }, memory: { sizeBytes: 64 * MIB }, disks: [] }),
    tcgOptions,
  );
  assert.equal(
    after.toString().replace("\n  <currentMemory unit='KiB'>65536</currentMemory>\n", ''),
    odd.replace('<vcpu >1', '<vcpu >2'),
  );
});
