import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { machine as machineSchema } from '../../../src/core/resources/machine.ts';
import { hypervisorNameOf } from '../../../src/drivers/hypervisor-domains.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { openHypervisor, UNHURRIED } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;

interface Foreign {
  readonly name?: string;
  readonly doctype?: string;
  readonly metadata?: string;
  readonly devices?: string;
  readonly more?: string;
}

const FOREIGN: Readonly<Record<string, Foreign>> = {
  'a name with all that a name may have': { name: `a "quoted" &amp; 'odd' 虚拟机 🐧` },
  'an entity of its own in its metadata': {
    doctype: '<!DOCTYPE domain [<!ENTITY who "somebody">]>',
    metadata: '<x:owner xmlns:x="urn:x" of="&who;">&who;</x:owner>',
  },
  'comments, CDATA and 1 MB of text in its metadata': {
    metadata: `<x:a xmlns:x="urn:x"><!-- c --><![CDATA[<&]]>${'text '.repeat(200_000)}</x:a>`,
  },
  'drives of every kind': {
    devices: `
      <disk type='file' device='cdrom'><target dev='sda' bus='sata'/></disk>
      <disk type='network' device='disk'>
        <source protocol='nbd' name='x'><host name='nowhere.invalid' port='10809'/></source>
        <target dev='vda' bus='virtio'/>
      </disk>
      <disk type='volume' device='disk'>
        <source pool='nowhere' volume='x'/><target dev='vdb' bus='virtio'/>
      </disk>`,
  },
  'devices that other programs serve': {
    more: `
      <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>`,
    devices: `
      <disk type='vhostuser' device='disk'>
        <driver name='qemu' type='raw'/>
        <source type='unix' path='/run/nowhere.sock'/><target dev='vda' bus='virtio'/>
      </disk>
      <controller type='usb' model='qemu-xhci'/>
      <redirdev bus='usb' type='tcp'>
        <source mode='connect' host='nowhere.invalid' service='4000'/><protocol type='raw'/>
      </redirdev>
      <interface type='vhostuser'>
        <source type='unix' path='/run/nowhere2.sock' mode='client'/><model type='virtio'/>
      </interface>`,
  },
  'no devices': {},
  'much that only QEMU understands': {
    more: `<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>${"<qemu:arg value='-no-such'/>".repeat(300)}</qemu:commandline>`,
  },
  'metadata with the name of ours and another namespace': {
    metadata: `<novacron:vm xmlns:novacron='urn:other' uid='1' name='x' namespace='y'>{}</novacron:vm>`,
  },
};

describe('domains that somebody else has made', { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  let hypervisor: LibvirtHypervisor;
  const stack = new AsyncDisposableStack();
  before(async () => {
    node = stack.use(await PrivateLibvirt.start());
    hypervisor = stack.use(await openHypervisor(node, UNHURRIED));
  });
  after(() => stack.disposeAsync());

  for (const [what, foreign] of Object.entries(FOREIGN)) {
    test(`with ${what} are listed as somebody else's, and ours as ours`, async () => {
      const ours = tinyVm();
      await hypervisor.domains.define(ours, never);
      const uuid = randomUUID();
      await node.defineXml(xmlOf(uuid, foreign));
      const listed = await hypervisor.domains.list(never);
      const found = listed.find(({ uid }) => uid === uuid);
      assert.deepEqual([found?.isRead, found?.definition], [true, undefined]);
      await assertAdoptable(hypervisor, uuid);
      assert.equal(listed.find(({ uid }) => uid === ours.uid)?.definition?.uid, ours.uid);
    });
  }

  test('that has the name of one of ours that was renamed keeps nobody from changing ours, which keeps its new name', async () => {
    const ours = tinyVm();
    await hypervisor.domains.define(ours, never);
    const name = hypervisorNameOf(ours);
    node.virsh('domrename', ours.uid, `${name}-old`);
    await node.defineXml(xmlOf(randomUUID(), { name }));
    const changed = { ...ours, generation: 2, labels: { app: 'shop' } };
    await hypervisor.domains.define(changed, never);
    const found = await hypervisor.domains.find(ours.uid, never);
    assert.deepEqual([found?.definition, found?.hypervisorName], [changed, `${name}-old`]);
  });
});

/** Whatever is in it, it can be one of an agent with what else it has left as it is. */
async function assertAdoptable({ domains }: LibvirtHypervisor, uid: string): Promise<void> {
  const adoptable = await domains.findAdoptable(uid, never);
  const spec = machineSchema.parse(adoptable?.machine);
  const definition = tinyVm({ uid, spec: { runStrategy: 'Manual', template: { spec } } });
  await domains.adopt(definition, never);
  const found = await domains.find(uid, never);
  assert.deepEqual([found?.definition, found?.drift], [definition, []]);
  assert.deepEqual(found?.kept, adoptable?.kept);
}

function xmlOf(uuid: string, foreign: Foreign): string {
  const { name = uuid, doctype = '', metadata = '', devices, more = '' } = foreign;
  return `${doctype}
    <domain type='qemu'>
      <name>${name}</name>
      <uuid>${uuid}</uuid>
      <metadata>${metadata}</metadata>
      <memory unit='MiB'>32</memory>
      <os><type arch='x86_64' machine='q35'>hvm</type></os>
      ${devices === undefined ? '' : `<devices>${devices}</devices>`}
      ${more}
    </domain>`;
}
