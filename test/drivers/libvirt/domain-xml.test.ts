import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { macOf } from '../../../src/core/resources/mac-address.ts';
import type { Machine } from '../../../src/core/resources/machine.ts';
import type { Network } from '../../../src/core/resources/network.ts';
import { buildDomainXml } from '../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import type { DomainXmlOptions } from '../../../src/drivers/libvirt/domain-xml/domain-part.ts';
import {
  METADATA_NAMESPACE,
  METADATA_PREFIX,
} from '../../../src/drivers/libvirt/domain-xml/metadata-namespace.ts';
import { expectedExtras, readExtras } from '../../fixtures/domain-xml/any-board.ts';
import {
  anyDefinition,
  anyMachine,
  definition,
  expectedBoard,
  expectedMachine,
  kvmOptions,
  MIB,
  readBoard,
  readMachine,
  specOf,
  tcgOptions,
  volume,
} from '../../fixtures/domain-xml/definitions.ts';
import { findObstacle, PrivateLibvirtd } from './private-libvirtd.ts';

const GOLDEN = new URL('../../fixtures/domain-xml/golden/', import.meta.url);
const NEWER = new URL('../../fixtures/domain-xml/newer/', import.meta.url);
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

  /** Defines a domain, gives back what libvirt made of it, and forgets it unless it shall stay. */
  async function define(xml: string, { keep = false } = {}): Promise<DomainDocument> {
    const { uuid } = DomainDocument.parse(xml);
    const file = path.join(libvirtd.folder, `${uuid}.xml`);
    await writeFile(file, xml);
    await libvirtd.virsh('define', '--validate', file);
    const printed = await libvirtd.virsh('dumpxml', '--inactive', uuid);
    if (!keep) await libvirtd.virsh('undefine', '--nvram', uuid);
    return DomainDocument.parse(printed);
  }

  const chosenOptions = fc.constantFrom(...options);

  void test('accepts any definition and gives it back', async () => {
    await fc.assert(
      fc.asyncProperty(anyDefinition, fc.constantFrom(...options), async (from, chosen) => {
        const document = await define(buildDomainXml(from, chosen));
        const wanted = from.spec.template.spec;
        assert.deepEqual(document.definition, from);
        assert.deepEqual(comparable(document, wanted), expectedMachine(wanted, chosen));
        assert.deepEqual(readBoard(document), expectedBoard(wanted));
        assert.deepEqual(readExtras(document), expectedExtras(wanted, chosen));
        assert.deepEqual(document.drift, []);
        assert.deepEqual(
          document.interfaces.map(toMac),
          (wanted.networks ?? []).map(macOfIn(from)),
        );
        assert.equal(document.consoleLogPath, chosen.consoleLogPath);
      }),
      { numRuns: RUNS, endOnFailure: true },
    );
  });

  void test('accepts any change of any definition', async () => {
    await fc.assert(
      fc.asyncProperty(anyDefinition, anyMachine, chosenOptions, async (from, changed, chosen) => {
        const old = await define(buildDomainXml(from, { ...chosen, oddRamSize: false }));
        const next = { ...from, generation: from.generation + 1, spec: specOf(changed) };
        const wanted = old.withMachine(changed, chosen).withDefinition(next);
        const document = await define(wanted.toString());
        assert.deepEqual(document.definition, next);
        assert.deepEqual(readMachine(document), readMachine(wanted));
        assert.deepEqual(targets(document), targets(wanted));
        assert.deepEqual(readBoard(document), expectedBoard(changed));
        assert.deepEqual(readExtras(document), expectedExtras(changed, chosen));
        assert.deepEqual(document.drift, []);
        const macs = (changed.networks ?? []).map(macOfIn(from));
        assert.deepEqual(document.interfaces.map(toMac).toSorted(), macs.toSorted());
      }),
      { numRuns: RUNS / 2, endOnFailure: true },
    );
  });

  for (const name of readdirSync(GOLDEN)) {
    void test(`accepts ${name}`, async () => {
      const source = DomainDocument.parse(readFileSync(new URL(name, GOLDEN), 'utf8'));
      const document = await define(source.toString());
      assert.deepEqual(document.definition, source.definition);
      assert.deepEqual(readMachine(document).volumes, readMachine(source).volumes);
      assert.deepEqual(targets(document), targets(source));
    });
  }

  void test('keeps what it printed before when it is defined again', async () => {
    const printed = await define(buildDomainXml(definition(), tcgOptions));
    assert.equal((await define(printed.toString())).toString(), printed.toString());
  });

  for (const name of readdirSync(NEWER)) {
    void test(`takes other facts for ${name} of a newer agent, and keeps its text byte for byte`, async () => {
      const metadata = readFileSync(new URL(name, NEWER), 'utf8').trim();
      const plain = buildDomainXml(definition(), tcgOptions);
      const source = plain.replace(/<novacron:vm [\s\S]*<\/novacron:vm>/, () => metadata);
      const old = await define(source, { keep: true });
      assert.equal(old.definitionText, DomainDocument.parse(source).definitionText);
      const facts = { ownershipEpoch: 9, owner: 'somebody', intent: 'off' } as const;
      const argument = old.metadataWithFacts(facts) ?? '';
      const command = ['metadata', old.uuid, METADATA_NAMESPACE, '--key', METADATA_PREFIX];
      await libvirtd.virsh(...command, '--config', '--set', argument);
      const document = DomainDocument.parse(await libvirtd.virsh('dumpxml', old.uuid));
      await libvirtd.virsh('undefine', old.uuid);
      assert.equal(document.definitionText, old.definitionText);
      assert.deepEqual(document.definition, { ...old.definition, ...facts });
      assert.deepEqual(document.definition.newer, old.definition?.newer);
      // Nothing else has changed, be it an attribute that this agent does not know.
      const { ownershipEpoch, owner, intent } = definition();
      const back = (from: DomainDocument): string =>
        withoutNamespaces(from.withFacts({ ownershipEpoch, owner, intent }));
      assert.equal(back(document), back(old));
    });
  }

  for (const bus of ['virtio', 'scsi', 'sata'] as const) {
    void test(`starts a domain that boots from ${bus} and has a disk for cloud-init`, async () => {
      const file = (name: string) => path.join(libvirtd.folder, `${bus}-${name}`);
      for (const name of ['root.raw', 'seed.iso']) {
        await writeFile(file(name), '');
        await truncate(file(name), MIB);
      }
      const root = volume({ bus, format: 'raw', source: { file: { path: file('root.raw') } } });
      const from = definition(
        {},
        { resources: { cpu: '1', memory: '64Mi' }, volumes: [root], cloudInit: {} },
      );
      const chosen = { ...tcgOptions, consoleLogPath: file('log'), seedPath: file('seed.iso') };
      await define(buildDomainXml(from, chosen), { keep: true });
      await libvirtd.virsh('start', '--paused', from.uid);
      const running = DomainDocument.parse(await libvirtd.virsh('dumpxml', from.uid));
      await libvirtd.virsh('destroy', from.uid);
      await libvirtd.virsh('undefine', from.uid);
      assert.deepEqual(running.drift, []);
      assert.deepEqual(
        running.volumes.map(({ name }) => name),
        ['root'],
      );
      assert.match(running.toString(), new RegExp(`${bus}-seed\\.iso`));
    });
  }

  void test('starts a domain with every kind of volume', async () => {
    const file = (name: string) => path.join(libvirtd.folder, name);
    const source = (name: string) => ({ file: { path: file(name) } });
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', file('a.qcow2'), '64M']);
    for (const name of ['b.raw', 'c.iso', 'd,"&.raw', 'e.raw']) {
      await writeFile(file(name), '');
      await truncate(file(name), MIB);
    }
    await using device = attachLoopDevice(file('e.raw'));
    const from = definition(
      {},
      {
        resources: { cpu: '2', memory: '64Mi' },
        cpu: { topology: { sockets: 2, cores: 1, threads: 1 } },
        volumes: [
          volume({ source: source('a.qcow2'), bootOrder: 2, io: 'threads' }),
          volume({ name: 'b', bus: 'scsi', format: 'raw', source: source('b.raw') }),
          volume({ name: 'seed', kind: 'cdrom', format: 'raw', source: source('c.iso') }),
          volume({
            name: 'd',
            target: 'vdz',
            format: 'raw',
            source: source('d,"&.raw'),
            cache: 'directsync',
            readOnly: true,
            serial: 'SN_1-2',
          }),
          {
            name: 'e',
            kind: 'disk',
            source: { block: { path: device.path } },
            cache: 'none',
            io: 'native',
          },
        ],
      },
    );
    const chosen = { ...tcgOptions, oddRamSize: true, consoleLogPath: file('console.log') };
    await define(buildDomainXml(from, chosen), { keep: true });
    await libvirtd.virsh('start', '--paused', from.uid);
    const running = DomainDocument.parse(await libvirtd.virsh('dumpxml', from.uid));
    const ask = (...command: readonly string[]) =>
      libvirtd.virsh('qemu-monitor-command', from.uid, ...command);
    const ramBlocks = await ask('--hmp', 'info ramblock');
    const blocks = JSON.parse(await ask('{"execute":"query-named-block-nodes"}')) as {
      readonly return: readonly { readonly drv: string; readonly file: string }[];
    };
    await libvirtd.virsh('destroy', from.uid);
    await libvirtd.virsh('undefine', from.uid);
    const wanted = from.spec.template.spec;
    assert.deepEqual(running.definition, from);
    assert.deepEqual(comparable(running, wanted), expectedMachine(wanted, chosen));
    assert.deepEqual(targets(running), ['b sda', 'd vdz', 'e vdb', 'root vda', 'seed sdb']);
    // 64 MiB and 8 KiB.
    assert.match(ramBlocks, /^\s*ram0 .*0x0*4002000/m);
    const devices = blocks.return.filter(({ drv }) => drv === 'host_device');
    assert.deepEqual(
      devices.map((node) => node.file),
      [device.path],
    );
  });
});

/** libvirt puts the declaration of our namespace where it likes. */
function withoutNamespaces(from: DomainDocument): string {
  return from.toString().replaceAll(/ xmlns:\w+="[^"]*"/g, '');
}

/** A block device over a file, gone with the scope. */
function attachLoopDevice(file: string): AsyncDisposable & { readonly path: string } {
  const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
  return {
    path: device,
    async [Symbol.asyncDispose]() {
      execFileSync('losetup', ['--detach', device]);
    },
  };
}

const toMac = ({ mac }: { readonly mac: string }) => mac;

const macOfIn =
  ({ uid }: { readonly uid: string }) =>
  (network: Network) =>
    macOf(uid, network);

const targets = (document: DomainDocument) =>
  document.volumes.map(({ name, target }) => `${name} ${target}`).toSorted();

/** libvirt replaces the alias of a machine type by what it stands for. */
function comparable(document: DomainDocument, from: Machine) {
  const { machineType, ...rest } = readMachine(document);
  const wanted = from.machineType ?? 'q35';
  if (wanted === 'q35') assert.match(machineType, /^pc-q35-/);
  return { ...rest, machineType: wanted === 'q35' ? 'q35' : machineType };
}
