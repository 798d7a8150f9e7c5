import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { machine as machineSchema } from '../../../src/core/resources/machine.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
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
  return xml.replace(/\s*<metadata>[\s\S]*<\/metadata>/, '');
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
});
