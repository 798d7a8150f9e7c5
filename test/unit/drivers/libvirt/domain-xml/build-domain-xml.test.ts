import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { hasReason } from '../../../../../src/core/errors.ts';
import type { VmDefinition } from '../../../../../src/core/vm-spec.ts';
import {
  buildDomainXml,
  type DomainXmlOptions,
} from '../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import {
  anyDefinition,
  definition,
  disk,
  expectedSpec,
  kvmOptions,
  MIB,
  spec,
  tcgOptions,
} from '../../../../fixtures/domain-xml/definitions.ts';

const GOLDEN = new URL('../../../../fixtures/domain-xml/golden/', import.meta.url);

const golden: Record<string, readonly [VmDefinition, DomainXmlOptions]> = {
  'bios-kvm': [definition(), kvmOptions],
  'kernel-tcg-odd-ram': [
    definition({
      spec: spec({
        boot: {
          kind: 'kernel',
          kernelPath: '/srv/images/vmlinuz',
          initrdPath: '/srv/images/initrd',
          commandLine: 'console=ttyS0 quiet="a & b"',
        },
        disks: [],
      }),
    }),
    { ...tcgOptions, oddRamSize: true, emulator: '/usr/bin/qemu-system-x86_64' },
  ],
  'uefi-every-kind-of-disk': [
    definition({
      spec: spec({
        cpu: { vcpus: 8, model: 'host-passthrough' },
        boot: { kind: 'firmware', firmware: 'uefi' },
        disks: [
          disk({ bootOrder: 2, shared: true }),
          disk({ name: 'data', target: 'sda', bus: 'scsi', format: 'raw', path: '/srv/d&ta.img' }),
          disk({
            name: 'seed',
            target: 'sdb',
            bus: 'sata',
            format: 'raw',
            readOnly: true,
            bootOrder: 1,
          }),
          disk({ name: 'a-name-longer-than-twenty-letters', target: 'vdb', cache: 'writeback' }),
        ],
        machineType: 'pc-q35-7.2',
      }),
    }),
    kvmOptions,
  ],
  i440fx: [definition({ spec: spec({ machineType: 'pc-i440fx-7.2' }) }), tcgOptions],
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
      assert.deepEqual(document.readSpec(), expectedSpec(from.spec, options));
      assert.equal(document.uuid, from.uid);
      assert.equal(document.name, `${from.namespace}_${from.name}`);
      assert.equal(document.accelerator, options.accelerator);
      assert.equal(document.consoleLogPath, options.consoleLogPath);
    }),
    { numRuns: 300 },
  );
});

const HOSTILE = Array.from('<>&\'"]]>/ =!?-[CDATA\0\t\r\n\u0085\uffff\ud800');

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
      const from = definition({ spec: spec({ disks: [disk({ path, bootOrder: 1 })] }) });
      let xml: string;
      try {
        xml = buildDomainXml(from, { ...tcgOptions, consoleLogPath: path });
      } catch (error) {
        assert.ok(hasReason(error, 'INVALID_SPEC'), String(error));
        return;
      }
      const document = DomainDocument.parse(xml);
      assert.equal(document.readSpec().disks[0]?.path, path);
      assert.equal(document.consoleLogPath, path);
      assert.equal(xml.match(/<[a-z/]/g)?.length, shape);
    }),
    { numRuns: 500 },
  );
});

for (const character of ['\0', '\n', '\t', '\u001b', '\u007f', '\u0085', '\ufffe', '\ud800']) {
  void test(`a path with ${JSON.stringify(character)} is refused`, () => {
    const from = definition({ spec: spec({ disks: [disk({ path: `/a${character}b` })] }) });
    assert.throws(() => buildDomainXml(from, tcgOptions), { reason: 'INVALID_SPEC' });
  });
}

void test('a disk on shared storage does not become shareable between VMs', () => {
  const from = definition({ spec: spec({ disks: [disk({ shared: true })] }) });
  assert.doesNotMatch(buildDomainXml(from, tcgOptions), /shareable/);
});

void test('memory that is no multiple of 1 MiB is refused, as libvirt would round it', () => {
  const from = definition({ spec: spec({ memory: { sizeBytes: 64 * MIB + 4096 } }) });
  assert.throws(() => buildDomainXml(from, tcgOptions), { reason: 'INVALID_SPEC' });
});

void test('the host CPU is refused without KVM', () => {
  const from = definition({ spec: spec({ cpu: { vcpus: 1, model: 'host-passthrough' } }) });
  assert.throws(() => buildDomainXml(from, tcgOptions), { reason: 'FEATURE_NOT_SUPPORTED' });
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
