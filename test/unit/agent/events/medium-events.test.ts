import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mediumChanges } from '../../../../src/agent/events/medium-changes.ts';
import type { SeenChange } from '../../../../src/agent/events/seen-change.ts';
import { sightOf } from '../../../../src/agent/events/vm-sight.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { newFakeVm, toHypervisorVm } from '../../../fakes/fake-vm.ts';
import { makeVm } from '../../../fakes/fake-vm-service.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { ask } from '../runs/controlled-node.ts';
import { newRequest } from '../vms/one-node.ts';
import { expectTold, refFor, withVm } from './eventful-node.ts';

const ISO = '/images/setup.iso';
const DRIVE: Volume = { name: 'setup', kind: 'cdrom', format: 'raw', cache: 'none' };

test('what callers put into a drive and take out is told, and not as a change of the spec', async () => {
  const request = newRequest('web', { machine: { volumes: [DRIVE] } });
  await using node = await withVm(request);
  node.images.add(ISO, { format: 'raw' });
  const told = ['Requested Create tester', 'Created tester', 'Started RunStrategy tester'];
  await expectTold(node, told);
  await ask(node, 'insert', refFor(request), { volume: 'setup', path: ISO });
  told.push('Requested Insert tester', 'MediumInserted Request tester');
  await expectTold(node, told);
  await ask(node, 'eject', refFor(request), { volume: 'setup' });
  told.push('Requested Eject tester', 'MediumEjected Request tester');
  await expectTold(node, told);
});

/** A running VM with a drive as the hypervisor has it. */
function sightWith(drive: { readonly path: string | undefined; readonly isOpen?: boolean }) {
  const volumes = [{ name: 'setup', target: 'sda', format: 'raw', ...drive }];
  const { template } = tinyVm().spec;
  const spec = { template: { spec: { ...template.spec, volumes: [DRIVE] } } };
  const vm = makeVm('web', { volumes }, { spec: { ...tinyVm().spec, ...spec } });
  const domain = { ...toHypervisorVm(newFakeVm(vm.definition)), state: 'running' as const };
  const seen = { uid: domain.uid, vm, domain };
  return { seen, sight: sightOf(seen, undefined, { reboots: 0, atMs: 0 }) };
}

test('a guest that opens its drive has ejected what is in it, and put it back when it shuts the drive', () => {
  const shut = sightWith({ path: ISO });
  const open = sightWith({ path: ISO, isOpen: true });
  const words = (before: typeof shut, now: typeof shut) => {
    const change: SeenChange = {
      before: before.sight,
      now: now.sight,
      seen: now.seen,
      requestOf: () => undefined,
    };
    return mediumChanges(change).map(({ reason, cause, message }) => [reason, cause, message]);
  };
  assert.deepEqual(words(shut, open), [
    ['MediumEjected', 'Guest', `${ISO} was ejected from setup by its guest`],
  ]);
  assert.deepEqual(words(open, shut), [
    [
      'MediumInserted',
      'Other',
      `${ISO} was put into setup by its guest, or by other means than this agent`,
    ],
  ]);
  assert.deepEqual(words(shut, shut), []);
});
