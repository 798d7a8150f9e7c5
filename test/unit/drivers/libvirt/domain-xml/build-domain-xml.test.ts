import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasReason } from '../../../../../src/core/errors.ts';
import type { VmDefinition } from '../../../../../src/core/vm-definition.ts';
import { buildDomainXml } from '../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import type { DomainXmlOptions } from '../../../../../src/drivers/libvirt/domain-xml/domain-part.ts';
import {
  anyDefinition,
  definition,
  expectedMachine,
  kvmOptions,
  MIB,
  readMachine,
  tcgOptions,
  volume,
} from '../../../../fixtures/domain-xml/definitions.ts';

const GOLDEN = new URL('../../../../fixtures/domain-xml/golden/', import.meta.url);

const kernel = {
  path: '/srv/images/vmlinuz',
  initrd: '/srv/images/initrd',
  commandLine: 'console=ttyS0 quiet="a & b"',
};

const golden: Record<string, readonly [VmDefinition, DomainXmlOptions]> = {
  'bios-kvm': [definition(), kvmOptions],
  'kernel-tcg-odd-ram': [
    definition({}, { kernel, volumes: [] }),
    { ...tcgOptions, oddRamSize: true, emulator: '/usr/bin/qemu-system-x86_64' },
  ],
  'uefi-with-kernel': [
    definition(
      {},
      {
        firmware: { type: 'uefi' },
        kernel,
        cpu: { topology: { sockets: 2, cores: 2, threads: 2 } },
        resources: { cpu: '7500m', memory: '1G' },
      },
    ),
    tcgOptions,
  ],
  'uefi-every-kind-of-volume': [
    definition(
      { privateFiles: { 'user-data': 'ab'.repeat(32) } },
      {
        resources: { cpu: '8', memory: '512Mi' },
        cpu: { model: 'host-passthrough' },
        firmware: { type: 'uefi' },
        volumes: [
          volume({ bootOrder: 2, shared: true }),
          volume({
            name: 'data',
            bus: 'scsi',
            format: 'raw',
            source: { file: { path: '/srv/d&ta.img' } },
          }),
          volume({
            name: 'seed',
            kind: 'cdrom',
            format: 'raw',
            source: { file: { path: '/srv/seed.iso' } },
            bootOrder: 1,
          }),
          volume({
            name: 'lv',
            format: undefined,
            source: { block: { path: '/dev/vg/lv' } },
            target: 'vdz',
            io: 'native',
            serial: 'WD-1234',
          }),
          volume({
            name: 'a-name-longer-than-twenty-letters',
            cache: 'writeback',
            readOnly: true,
            source: { file: { path: '/srv/long.qcow2' } },
          }),
        ],
        machineType: 'pc-q35-7.2',
        userData: `sha256:${'ab'.repeat(32)}`,
      },
    ),
    kvmOptions,
  ],
  'every-kind-of-interface': [
    definition(
      {},
      {
        networks: [
          { name: 'br0', type: 'bridge', ipv4: { method: 'dhcp' } },
          { name: 'lan', type: 'bridge', bridge: 'vmbr0.100', model: 'virtio', queues: 4 },
          {
            name: 'old',
            type: 'bridge',
            bridge: 'br1',
            mac: '52:54:00:ab:cd:ef',
            model: 'e1000e',
            queues: 1,
          },
        ],
      },
    ),
    kvmOptions,
  ],
  i440fx: [definition({}, { machineType: 'pc-i440fx-7.2' }), tcgOptions],
};

for (const [name, [from, options]] of Object.entries(golden)) {
  void test(`the domain of ${name} is the one we agreed on`, () => {
    const file = new URL(`${name}.xml`, GOLDEN);
    const xml = buildDomainXml(from, options);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, xml);
    assert.equal(xml, readFileSync(file, 'utf8'));
  });
}

void test('what any definition became is read back the same', () => {
  fc.assert(
    fc.property(anyDefinition, fc.constantFrom(tcgOptions, kvmOptions), (from, options) => {
      const document = DomainDocument.parse(buildDomainXml(from, options));
      assert.deepEqual(document.definition, from);
      assert.deepEqual(readMachine(document), expectedMachine(from.spec.template.spec, options));
      assert.equal(document.uuid, from.uid);
      assert.equal(document.name, `${from.namespace}_${from.name}`);
      assert.equal(document.accelerator, options.accelerator);
      assert.equal(document.consoleLogPath, options.consoleLogPath);
    }),
    { numRuns: 300 },
  );
});

const HOSTILE = Array.from('<>&\'"]]>/ =!?-[CDATA\0\t\r\n\u0085\uffff\ud800');
const at = (path: string) => ({ volumes: [volume({ source: { file: { path } }, bootOrder: 1 })] });

void test('a hostile string stays one value or is refused', () => {
  const hostile = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom(...HOSTILE) }),
  );
  const boring = DomainDocument.parse(buildDomainXml(definition(), tcgOptions));
  const shape = boring.toString().match(/<[a-z/]/g)?.length;
  fc.assert(
    fc.property(hostile, (text) => {
      const path = `/${text}`;
      let xml: string;
      try {
        xml = buildDomainXml(definition({}, at(path)), { ...tcgOptions, consoleLogPath: path });
      } catch (error) {
        assert.ok(hasReason(error, 'INVALID_SPEC'), String(error));
        return;
      }
      const document = DomainDocument.parse(xml);
      assert.equal(document.volumes[0]?.path, path);
      assert.equal(document.consoleLogPath, path);
      assert.equal(xml.match(/<[a-z/]/g)?.length, shape);
    }),
    { numRuns: 500 },
  );
});

for (const character of ['\0', '\n', '\t', '\u001b', '\u007f', '\u0085', '\ufffe', '\ud800']) {
  void test(`a path with ${JSON.stringify(character)} is refused`, () => {
    const from = definition({}, at(`/a${character}b`));
    assert.throws(() => buildDomainXml(from, tcgOptions), { reason: 'INVALID_SPEC' });
  });
}

void test('a volume on shared storage does not become shareable between VMs', () => {
  const from = definition({}, { volumes: [volume({ shared: true })] });
  assert.doesNotMatch(buildDomainXml(from, tcgOptions), /shareable/);
});

void test('quantities are rounded up to what libvirt can give', () => {
  const from = definition({}, { resources: { cpu: '1500m', memory: '100M' } });
  const document = DomainDocument.parse(buildDomainXml(from, tcgOptions));
  assert.equal(document.cpu.vcpus, 2);
  assert.equal(document.memoryBytes, 96 * MIB);
  assert.deepEqual(document.definition, from);
});

void test('the host CPU is refused without KVM', () => {
  const from = definition({}, { cpu: { model: 'host-passthrough' } });
  assert.throws(() => buildDomainXml(from, tcgOptions), { reason: 'CPU_INCOMPATIBLE' });
});

void test('the odd RAM size is for TCG only and no multiple of 256 KiB', () => {
  const odd = buildDomainXml(definition(), { ...tcgOptions, oddRamSize: true });
  const size = Number(/size=(\d+)/.exec(odd)?.[1]);
  assert.equal(size, 512 * MIB + 8192);
  assert.notEqual(size % (256 * 1024), 0);
  assert.doesNotMatch(
    buildDomainXml(definition(), { ...kvmOptions, oddRamSize: true }),
    /qemu:arg/,
  );
});
