import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { LibvirtPair } from './libvirt-pair.ts';
import { skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;

describe('a VM whose memory is saved', { skip: skipReason() }, () => {
  let pair: LibvirtPair;
  before(async () => {
    pair = await LibvirtPair.start();
  });
  after(() => pair[Symbol.asyncDispose]());

  test('goes on as what it was started with, since when it was, and what waits for a restart still does', async () => {
    const { source, sourceNode } = pair;
    const { domains } = source;
    const vm = tinyVm();
    await domains.define(vm, never);
    await domains.start(vm.uid, never);
    const since = (await domains.find(vm.uid, never))?.runningSinceMs;
    assert.ok(since !== undefined);
    sourceNode.virsh('managedsave', vm.uid);
    const { template } = vm.spec;
    const resources = { ...template.spec.resources, memory: '80Mi' };
    const spec = { ...vm.spec, template: { ...template, spec: { ...template.spec, resources } } };
    const changed = { ...vm, generation: 2, spec };
    await domains.define(changed, never);
    await domains.start(vm.uid, never);
    const found = await domains.find(vm.uid, never);
    assert.equal(found?.runningSinceMs, since);
    assert.deepEqual(found.liveDefinition?.spec, vm.spec);
    assert.deepEqual(found.definition?.spec, spec);
    await domains.destroy(vm.uid, never);
    await domains.undefine(vm.uid, never);
  });
});
