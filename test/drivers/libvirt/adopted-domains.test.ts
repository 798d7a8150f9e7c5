import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { machine as machineSchema } from '../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { rejectsWith } from '../../contract/hypervisor-fixture.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { openHypervisor, UNHURRIED } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;
const FOREIGN = globSync('test/fixtures/domain-xml/foreign/*.xml');

/** As a node without KVM can have it. */
function withoutKvm(xml: string): string {
  return xml
    .replace("type='kvm'", "type='qemu'")
    .replace(/<cpu mode='host-[^>]*?(\/?)>/, (_all, end: string) =>
      end === '' ? "<cpu mode='custom' match='exact' check='none'><model>qemu64</model>" : '',
    );
}

function withoutMetadata(xml: string): string {
  return xml.replace(/\s*<metadata(\/>|>[\s\S]*<\/metadata>)/, '');
}

describe('domains that somebody else has made and that are adopted', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  let hypervisor: LibvirtHypervisor;
  const stack = new AsyncDisposableStack();
  before(async () => {
    node = stack.use(await PrivateLibvirt.start());
    hypervisor = stack.use(await openHypervisor(node, UNHURRIED));
  });
  after(() => stack.disposeAsync());

  const definitionOf = async (uid: string): Promise<VmDefinition> => {
    const found = await hypervisor.domains.findAdoptable(uid, never);
    const spec = machineSchema.parse(found?.machine);
    return tinyVm({ uid, spec: { runStrategy: 'Manual', template: { spec } } });
  };

  for (const path of FOREIGN) {
    test(`as ${basename(path, '.xml')} they stay as they are, and are as their manifests say`, async () => {
      const xml = withoutKvm(readFileSync(path, 'utf8'));
      const uid = /<uuid>(.*)<\/uuid>/.exec(xml)?.[1] ?? '';
      await node.defineXml(xml);
      const before = node.virsh('dumpxml', '--inactive', uid);
      const definition = await definitionOf(uid);
      await hypervisor.domains.adopt(definition, never);
      const adopted = node.virsh('dumpxml', '--inactive', uid);
      assert.equal(withoutMetadata(adopted), withoutMetadata(before));
      const found = await hypervisor.domains.find(uid, never);
      assert.deepEqual(found?.definition, definition);
      assert.deepEqual(found.drift, []);
      assert.ok((found.kept ?? []).length > 0);
      // Another label only.
      const labelled = { ...definition, generation: 2, labels: { app: 'shop' } };
      await hypervisor.domains.define(labelled, never);
      const again = await hypervisor.domains.find(uid, never);
      assert.deepEqual([again?.definition, again?.drift], [labelled, []]);
      node.virsh('undefine', '--nvram', uid);
    });
  }

  test('what was changed since they were started waits for their next start', async () => {
    const uid = randomUUID();
    await node.defineXml(tinyXml(uid, node));
    node.virsh('start', uid);
    node.virsh('setmaxmem', uid, '128M', '--config');
    node.virsh('attach-disk', uid, imageIn(node, 'later.img'), 'vdb', '--live');
    const definition = await definitionOf(uid);
    await hypervisor.domains.adopt(definition, never);
    const found = await hypervisor.domains.find(uid, never);
    assert.equal(found?.definition?.spec.template.spec.resources.memory, '128Mi');
    const live = found?.liveDefinition?.spec.template.spec;
    assert.equal(live?.resources.memory, '64Mi');
    assert.deepEqual(
      live?.volumes?.map(({ name }) => name),
      ['vda', 'vdb'],
    );
    assert.deepEqual(found?.drift, []);
    await hypervisor.domains.destroy(uid, never);
    await hypervisor.domains.start(uid, never);
    const again = await hypervisor.domains.find(uid, never);
    assert.deepEqual([again?.definition, again?.liveDefinition], [definition, undefined]);
    assert.equal(again?.memoryBytes, 128 * 1024 ** 2);
    await hypervisor.domains.destroy(uid, never);
    await hypervisor.domains.undefine(uid, never);
  });

  test('they are started by libvirt no more, and a saved one says so', async () => {
    const uid = randomUUID();
    await node.defineXml(tinyXml(uid, node));
    node.virsh('autostart', uid);
    node.virsh('start', uid);
    node.virsh('managedsave', uid);
    const saved = await hypervisor.domains.findAdoptable(uid, never);
    assert.deepEqual([saved?.isSaved, saved?.isAutostarted], [true, true]);
    node.virsh('managedsave-remove', uid);
    await hypervisor.domains.adopt(await definitionOf(uid), never);
    assert.match(node.virsh('dominfo', uid), /Autostart: +disable/);
    const after = await hypervisor.domains.findAdoptable(uid, never);
    assert.deepEqual([after?.isSaved, after?.isAutostarted], [false, false]);
    await hypervisor.domains.undefine(uid, never);
  });

  test('the way back is a word to virsh, and they are as they were', async () => {
    const uid = randomUUID();
    await node.defineXml(tinyXml(uid, node));
    node.virsh('start', uid);
    const before = ['--inactive', '--migratable'].map((form) => node.virsh('dumpxml', form, uid));
    await hypervisor.domains.adopt(await definitionOf(uid), never);
    for (const which of ['--config', '--live']) {
      node.virsh('metadata', uid, 'https://novacron.io/xmlns/vm/1', '--remove', which);
    }
    const found = await hypervisor.domains.find(uid, never);
    assert.deepEqual([found?.definition, found?.state], [undefined, 'running']);
    const after = ['--inactive', '--migratable'].map((form) => node.virsh('dumpxml', form, uid));
    assert.deepEqual(after.map(withoutMetadata), before.map(withoutMetadata));
    await hypervisor.domains.destroy(uid, never);
    await hypervisor.domains.undefine(uid, never);
  });

  test('one that nobody can read is refused by what is wrong with it, and the others are listed', async () => {
    const uid = randomUUID();
    const metadata = `<x:a xmlns:x='urn:x'>${'<x:b/>'.repeat(250_000)}</x:a>`;
    await node.defineXml(
      tinyXml(uid, node).replace('<memory', `<metadata>${metadata}</metadata><memory`),
    );
    await assert.rejects(hypervisor.domains.findAdoptable(uid, never), /too many nodes/);
    const listed = await hypervisor.domains.list(never);
    assert.equal(listed.find((one) => one.uid === uid)?.isRead, true);
    node.virsh('undefine', uid);
  });

  test('the console and the screen that they do not have are refused as such', async () => {
    const uid = randomUUID();
    await node.defineXml(tinyXml(uid, node));
    node.virsh('start', uid);
    const { consoles } = hypervisor;
    await rejectsWith('CONSOLE_NOT_FOUND', consoles.openSerial(uid, { takeOver: false }, never));
    await rejectsWith('DISPLAY_NOT_FOUND', consoles.openDisplay(uid, never));
    await hypervisor.domains.destroy(uid, never);
    node.virsh('undefine', uid);
  });
});

function imageIn(node: PrivateLibvirt, name: string): string {
  const path = join(node.folder, name);
  writeFileSync(path, Buffer.alloc(1024 * 1024));
  return path;
}

/** Small enough to be started, with a disk and little else. */
function tinyXml(uid: string, node: PrivateLibvirt): string {
  return `<domain type='qemu'>
    <name>${uid}</name>
    <uuid>${uid}</uuid>
    <memory unit='MiB'>64</memory>
    <os><type arch='x86_64' machine='q35'>hvm</type></os>
    <cpu mode='custom'><model>qemu64</model></cpu>
    <devices>
      <disk type='file' device='disk'>
        <driver name='qemu' type='raw'/>
        <source file='${imageIn(node, `${uid}.img`)}'/>
        <target dev='vda' bus='virtio'/>
      </disk>
      <sound model='ich9'/>
    </devices>
  </domain>`;
}
