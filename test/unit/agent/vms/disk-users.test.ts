import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DiskUsers } from '../../../../src/agent/vms/disk-users.ts';
import type { MadeDisk } from '../../../../src/core/made-disks.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import { FakeHypervisor } from '../../../fakes/fake-hypervisor.ts';
import { FakeImages } from '../../../fakes/fake-images.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { never } from './one-node.ts';

const MADE: MadeDisk = { path: '/srv/made.qcow2', format: 'qcow2', bytes: 2 ** 30 };
const OTHER: Volume = {
  name: 'data',
  kind: 'disk',
  cache: 'none',
  format: 'qcow2',
  source: { file: { path: '/images/other.qcow2' } },
};

test('each image of another VM is looked at once, though it has it now and gets it again', async () => {
  const { domains } = new FakeHypervisor();
  const images = new FakeImages();
  for (const path of [MADE.path, '/images/other.qcow2']) images.add(path, { format: 'qcow2' });
  const looks: string[] = [];
  const find: FakeImages['find'] = (query, signal) => {
    looks.push(query.path);
    return images.find(query, signal);
  };
  await domains.define(tinyVm({}, { volumes: [OTHER] }), never);
  const users = new DiskUsers({ domains, images: { find } });
  await users.assertNone(tinyVm({ madeDisks: { root: MADE } }), never);
  assert.deepEqual(looks, [MADE.path, '/images/other.qcow2']);
});
