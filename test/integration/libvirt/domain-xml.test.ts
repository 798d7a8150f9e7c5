import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import type { VmDefinition } from '../../../src/core/vm-spec.ts';
import {
  buildDomainXml,
  type DomainXmlOptions,
} from '../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import {
  METADATA_NAMESPACE,
  METADATA_PREFIX,
  metadataArgument,
} from '../../../src/drivers/libvirt/domain-xml/metadata.ts';
import {
  anyDefinition,
  anySpec,
  definition,
  disk,
  expectedSpec,
  kvmOptions,
  MIB,
  sorted,
  spec,
  tcgOptions,
} from '../../fixtures/domain-xml/definitions.ts';
import { findObstacle, PrivateLibvirtd } from './private-libvirtd.ts';

const GOLDEN = new URL('../../fixtures/domain-xml/golden/', import.meta.url);
const RUNS = 60;
const options: readonly DomainXmlOptions[] = [
  tcgOptions,
  { ...tcgOptions, oddRamSize: true },
  kvmOptions,
];

void describe('libvirt', { skip: findObstacle() ?? false }, () => {
  let libvirtd: PrivateLibvirtd;
  before(async () => {
    libvirtd = await PrivateLibvirtd.start();
  });
  after(async () => {
    await libvirtd[Symbol.asyncDispose]();
  });

  /** Defines a domain, gives back what libvirt made of it, and forgets it. */
  async function define(xml: string): Promise<DomainDocument> {
    const { uuid } = DomainDocument.parse(xml);
    const file = path.join(libvirtd.folder, `${uuid}.xml`);
    await writeFile(file, xml);
    await libvirtd.virsh('define', '--validate', file);
    const printed = await libvirtd.virsh('dumpxml', '--inactive', uuid);
    await libvirtd.virsh('undefine', '--nvram', uuid);
    return DomainDocument.parse(printed);
  }

  void test('accepts any definition and gives it back', async () => {
    await fc.assert(
      fc.asyncProperty(anyDefinition, fc.constantFrom(...options), async (from, chosen) => {
        const document = await define(buildDomainXml(from, chosen));
        assert.deepEqual(document.definition, from);
        assert.deepEqual(comparable(document, from), expected(from, chosen));
        assert.equal(document.consoleLogPath, chosen.consoleLogPath);
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });

  void test('accepts any change of any definition', async () => {
    await fc.assert(
      fc.asyncProperty(anyDefinition, anySpec, fc.boolean(), async (from, changed, oddRamSize) => {
        const chosen = { ...tcgOptions, oddRamSize };
        const old = await define(buildDomainXml(from, tcgOptions));
        const next = { ...from, generation: from.generation + 1, spec: changed };
        const wanted = old.withSpec(changed, chosen).withDefinition(next);
        const document = await define(wanted.toString());
        assert.deepEqual(document.definition, next);
        assert.deepEqual(sorted(document.readSpec()), sorted(wanted.readSpec()));
      }),
      { numRuns: RUNS / 2, endOnFailure: true },
    );
  });

  for (const name of readdirSync(GOLDEN)) {
    void test(`accepts ${name}`, async () => {
      const source = DomainDocument.parse(readFileSync(new URL(name, GOLDEN), 'utf8'));
      const document = await define(source.toString());
      assert.deepEqual(document.definition, source.definition);
      assert.deepEqual(sorted(document.readSpec()).disks, sorted(source.readSpec()).disks);
    });
  }

  void test('keeps what it printed before when it is defined again', async () => {
    const printed = await define(buildDomainXml(definition(), tcgOptions));
    assert.equal((await define(printed.toString())).toString(), printed.toString());
  });

  void test('takes a new definition as metadata and changes nothing else', async () => {
    const file = path.join(libvirtd.folder, 'metadata.xml');
    await writeFile(file, buildDomainXml(definition(), tcgOptions));
    await libvirtd.virsh('define', '--validate', file);
    const { uid } = definition();
    const old = DomainDocument.parse(await libvirtd.virsh('dumpxml', uid));
    const next = definition({ generation: 9, labels: { text: `"quotes" <tags> & 'so' on ü \0` } });
    const argument = metadataArgument(next);
    const command = ['metadata', uid, METADATA_NAMESPACE, '--key', METADATA_PREFIX, '--config'];
    await libvirtd.virsh(...command, '--set', argument);
    const document = DomainDocument.parse(await libvirtd.virsh('dumpxml', uid));
    await libvirtd.virsh('undefine', uid);
    assert.deepEqual(document.definition, next);
    assert.equal(document.withDefinition(next).toString(), old.withDefinition(next).toString());
  });

  void test('starts a domain with every kind of disk', async () => {
    const file = (name: string) => path.join(libvirtd.folder, name);
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', file('a.qcow2'), '64M']);
    for (const name of ['b.raw', 'c.iso', 'd,"&.raw']) {
      await writeFile(file(name), '');
      await truncate(file(name), MIB);
    }
    const from = definition({
      spec: spec({
        memory: { sizeBytes: 64 * MIB },
        disks: [
          disk({ path: file('a.qcow2'), bootOrder: 2 }),
          disk({ name: 'b', target: 'sda', bus: 'scsi', format: 'raw', path: file('b.raw') }),
          disk({
            name: 'seed',
            target: 'sdb',
            bus: 'sata',
            format: 'raw',
            path: file('c.iso'),
            readOnly: true,
          }),
          disk({
            name: 'd',
            target: 'vdz',
            format: 'raw',
            path: file('d,"&.raw'),
            cache: 'directsync',
            readOnly: true,
          }),
        ],
      }),
    });
    const xml = buildDomainXml(from, {
      ...tcgOptions,
      oddRamSize: true,
      consoleLogPath: file('console.log'),
    });
    await writeFile(file('domain.xml'), xml);
    await libvirtd.virsh('define', '--validate', file('domain.xml'));
    await libvirtd.virsh('start', '--paused', from.uid);
    const running = DomainDocument.parse(await libvirtd.virsh('dumpxml', from.uid));
    const monitor = await libvirtd.virsh(
      'qemu-monitor-command',
      from.uid,
      '--hmp',
      'info ramblock',
    );
    await libvirtd.virsh('destroy', from.uid);
    await libvirtd.virsh('undefine', from.uid);
    assert.deepEqual(running.definition, from);
    assert.deepEqual(comparable(running, from), expected(from, tcgOptions));
    // 64 MiB and 8 KiB.
    assert.match(monitor, /^\s*ram0 .*0x0*4002000/m);
  });
});

/** libvirt replaces the alias of a machine type by what it stands for. */
function comparable(document: DomainDocument, from: VmDefinition) {
  const { machineType, ...rest } = sorted(document.readSpec());
  const wanted = from.spec.machineType ?? 'q35';
  if (wanted === 'q35') assert.match(machineType, /^pc-q35-/);
  return { ...rest, machineType: wanted === 'q35' ? 'q35' : machineType };
}

function expected(from: VmDefinition, chosen: DomainXmlOptions) {
  return sorted(expectedSpec(from.spec, chosen));
}
