import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findImageUser, imagesOf } from '../../../../src/agent/vms/image-users.ts';
import type { Volume } from '../../../../src/core/resources/volume.ts';
import type { HypervisorDisk } from '../../../../src/drivers/hypervisor-domains.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const volume = (path: string, more: Partial<Volume> = {}): Volume => ({
  name: 'data',
  kind: 'disk',
  cache: 'none',
  format: 'qcow2',
  source: { file: { path } },
  ...more,
});

const disk = (...images: HypervisorDisk['images']): HypervisorDisk => ({
  name: 'data',
  target: 'vda',
  readOnly: false,
  cache: 'none',
  images,
});

const file = (path: string, format = 'qcow2') => ({ kind: 'file', path, format }) as const;

const nextWith = (...volumes: Volume[]) => ({ definition: tinyVm({}, { volumes }) });

test('an image that a VM has and gets again is told once, and what is behind it as never written to', () => {
  const vm = { ...nextWith(volume('/top')), disks: [disk(file('/top'), file('/base', 'raw'))] };
  assert.deepEqual(imagesOf(vm), [
    { path: '/top', format: 'qcow2', isReadOnly: false },
    { path: '/base', format: 'raw', isReadOnly: true },
  ]);
});

test('an image that is to be read as something else is told for both', () => {
  const vm = { ...nextWith(volume('/top')), disks: [disk(file('/top', 'raw'))] };
  assert.deepEqual(
    imagesOf(vm).map(({ format }) => format),
    ['raw', 'qcow2'],
  );
});

test('what a VM writes to now counts as written to, though its next start only reads it', () => {
  const vm = { ...nextWith(volume('/top', { readOnly: true })), disks: [disk(file('/top'))] };
  assert.deepEqual(
    imagesOf(vm).map(({ isReadOnly }) => isReadOnly),
    [false],
  );
});

test('two VMs may share what both only read, and nothing else', () => {
  const [reads, writes] = [nextWith(volume('/a', { kind: 'cdrom' })), nextWith(volume('/b'))];
  const userOf = (path: string, isReadOnly: boolean) =>
    findImageUser([reads, writes], [{ path, isReadOnly }])?.user;
  assert.equal(userOf('/a', true), undefined);
  assert.equal(userOf('/a', false), reads);
  assert.equal(userOf('/b', true), writes);
  assert.equal(userOf('/c', false), undefined);
});
