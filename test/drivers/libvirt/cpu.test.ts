import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { hasReason } from '../../../src/core/errors.ts';
import type { LibvirtHypervisor } from '../../../src/drivers/libvirt/libvirt-hypervisor.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { openHypervisor, UNHURRIED } from './libvirt-pair.ts';
import { PrivateLibvirt, skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;

describe("a guest's CPU", { skip: skipReason() }, () => {
  let node: PrivateLibvirt;
  let hypervisor: LibvirtHypervisor;
  const stack = new AsyncDisposableStack();
  before(async () => {
    node = stack.use(await PrivateLibvirt.start());
    hypervisor = stack.use(await openHypervisor(node, UNHURRIED));
  });
  after(() => stack.disposeAsync());

  test('of another host is compared with what QEMU has here, and the features that are lacking are named', async () => {
    const vm = tinyVm();
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
    const own = (await hypervisor.domains.find(vm.uid, never))?.cpu ?? '';
    assert.match(own, /^<cpu [^]*<\/cpu>$/);
    assert.equal(await hypervisor.host.findCpuProblem(own, 'tcg', never), undefined);
    // No QEMU emulates it without KVM.
    const feature = "<feature policy='require' name='avx512f'/>";
    const foreign = own.replace('</cpu>', `${feature}</cpu>`);
    const problem = await hypervisor.host.findCpuProblem(foreign, 'tcg', never);
    assert.match(problem ?? '', /required features: avx512f$/);
    await hypervisor.domains.destroy(vm.uid, never);
    await hypervisor.domains.undefine(vm.uid, never);
  });

  test('has the features that are asked for, and of those that QEMU would leave out without a word it is said before', async () => {
    const features = ['+avx2', '-svm'];
    const ask = (asked: readonly string[], model?: string, accelerator: 'tcg' | 'kvm' = 'tcg') =>
      hypervisor.host.findModelProblem({ model, features: [...asked] }, accelerator, never);
    assert.equal(await ask(features), undefined);
    // What QEMU lacks of the model itself, under TCG, it may leave out.
    assert.equal(await ask(['+avx2'], 'EPYC'), undefined);
    assert.deepEqual(await ask(['+avx2', '+avx512f'], 'EPYC'), {
      part: 'features',
      description: 'QEMU lacks avx512f here',
    });
    assert.deepEqual(await ask(['-avx512f']), undefined);
    assert.equal((await ask(['+avx2'], 'host-model'))?.part, 'model');
    const vm = tinyVm({}, { cpu: { features } });
    await hypervisor.domains.define(vm, never);
    await hypervisor.domains.start(vm.uid, never);
    const xml = node.virsh('dumpxml', vm.uid);
    assert.match(xml, /<feature policy='require' name='avx2'\/>/);
    assert.match(xml, /<feature policy='disable' name='svm'\/>/);
    assert.deepEqual((await hypervisor.domains.find(vm.uid, never))?.drift, []);
    await hypervisor.domains.destroy(vm.uid, never);
    // Another one in its place, and what somebody else has added stays.
    const own = "<feature policy='require' name='aes'/></cpu>";
    await node.defineXml(node.virsh('dumpxml', vm.uid).replace('</cpu>', own));
    const changed = tinyVm({ uid: vm.uid, name: vm.name }, { cpu: { features: ['+svm'] } });
    await hypervisor.domains.define(changed, never);
    const after = node.virsh('dumpxml', vm.uid);
    assert.deepEqual(
      [...after.matchAll(/<feature policy='(\w+)' name='(\w+)'/g)].map((one) => one.slice(1)),
      [
        ['require', 'svm'],
        ['require', 'aes'],
      ],
    );
    await hypervisor.domains.undefine(vm.uid, never);
  });

  test('that has come without a model is given that of the node with features, as libvirt takes none without', async () => {
    for (const own of ['', "<cpu><topology sockets='1' dies='1' cores='1' threads='1'/></cpu>"]) {
      const vm = tinyVm();
      await hypervisor.domains.define(vm, never);
      const bare = node.virsh('dumpxml', vm.uid).replace(/<cpu [^]*<\/cpu>/, own);
      const withFeature = "<cpu><feature policy='require' name='aes'/></cpu>";
      await assert.rejects(
        node.defineXml(
          own === ''
            ? bare.replace('</vcpu>', `</vcpu>${withFeature}`)
            : bare.replace(own, withFeature),
        ),
      );
      await node.defineXml(bare);
      const changed = tinyVm({ uid: vm.uid, name: vm.name }, { cpu: { features: ['+aes'] } });
      await hypervisor.domains.define(changed, never);
      assert.match(
        node.virsh('dumpxml', vm.uid),
        /<model fallback='forbid'>qemu64<\/model>[^]*<feature policy='require' name='aes'\/>/,
      );
      await hypervisor.domains.start(vm.uid, never);
      assert.deepEqual((await hypervisor.domains.find(vm.uid, never))?.drift, []);
      await hypervisor.domains.destroy(vm.uid, never);
      await hypervisor.domains.undefine(vm.uid, never);
    }
  });

  test('that QEMU does not have keeps the VM from starting, for that reason and no other', async () => {
    const vm = tinyVm();
    await hypervisor.domains.define(vm, never);
    // A model is what it can be; a feature that is asked for must be.
    const xml = node.virsh('dumpxml', vm.uid);
    const feature = "<feature policy='require' name='avx512f'/></cpu>";
    await node.defineXml(
      xml
        .replace(
          "<cpu mode='custom' match='exact' check='none'>",
          "<cpu mode='custom' match='exact' check='full'>",
        )
        .replace('</cpu>', feature),
    );
    await assert.rejects(hypervisor.domains.start(vm.uid, never), (error: Error) => {
      assert.ok(hasReason(error, 'CPU_INCOMPATIBLE'), String(error));
      assert.match(error.message, /avx512f.*spec\.template\.spec\.cpu\.model/);
      assert.ok(error.message.includes(`${vm.namespace}/${vm.name}`), error.message);
      return true;
    });
    await hypervisor.domains.undefine(vm.uid, never);
  });
});
