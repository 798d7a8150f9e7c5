import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DomainDocument } from '../../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';

/** A domain with these devices, as a running one has them. */
function domain(...devices: readonly string[]): DomainDocument {
  return DomainDocument.parse(
    `<domain type='qemu'><name>web</name><devices>${devices.join('')}</devices></domain>`,
  );
}

const END = '<backingStore/>';
const backing = (format: string, source: string, behind: string) =>
  `<backingStore type='file' index='3'><format type='${format}'/><source file='${source}'/>${behind}</backingStore>`;
const disk = (source: string, behind: string, more = '') =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
   <source file='${source}' index='2'/>${behind}<target dev='vda' bus='virtio'/>
   ${more}<alias name='ua-disk-root'/></disk>`;

test('all images of a disk are read, the one that is written to first', () => {
  const chain = backing('qcow2', '/srv/mid.qcow2', backing('raw', '/srv/base.raw', END));
  const [read] = domain(disk('/srv/top.qcow2', chain)).disks;
  assert.deepEqual(read, {
    name: 'root',
    target: 'vda',
    readOnly: false,
    cache: 'none',
    images: [
      { kind: 'file', path: '/srv/top.qcow2', format: 'qcow2' },
      { kind: 'file', path: '/srv/mid.qcow2', format: 'qcow2' },
      { kind: 'file', path: '/srv/base.raw', format: 'raw' },
    ],
  });
});

test('a chain whose end is not told has a part that nobody knows', () => {
  const [read] = domain(disk('/srv/top.qcow2', '')).disks;
  assert.deepEqual(read?.images.at(-1), {
    kind: 'other',
    path: 'what is behind /srv/top.qcow2',
    format: '',
  });
});

test('devices, other storage and empty drives are told apart', () => {
  const { disks } = domain(
    `<disk type='block' device='disk'><driver name='qemu' type='raw' cache='unsafe'/>
     <source dev='/dev/vg/web'/><target dev='vda' bus='virtio'/></disk>`,
    `<disk type='network' device='disk'><driver name='qemu' type='raw'/>
     <source protocol='rbd' name='pool/web'><host name='mon'/></source>
     <target dev='vdb' bus='virtio'/></disk>`,
    `<disk type='volume' device='disk'><driver name='qemu' type='raw'/>
     <source pool='p' volume='v'/><target dev='vdc' bus='virtio'/></disk>`,
    `<disk type='file' device='cdrom'><driver name='qemu'/><target dev='sda' bus='sata'/><readonly/></disk>`,
  );
  assert.deepEqual(
    disks.map(({ name, readOnly, cache, images }) => ({ name, readOnly, cache, images })),
    [
      {
        name: 'vda',
        readOnly: false,
        cache: 'unsafe',
        images: [{ kind: 'block', path: '/dev/vg/web', format: 'raw' }],
      },
      {
        name: 'vdb',
        readOnly: false,
        cache: 'writeback',
        images: [{ kind: 'other', path: 'network rbd pool/web', format: 'raw' }],
      },
      {
        name: 'vdc',
        readOnly: false,
        cache: 'writeback',
        images: [{ kind: 'other', path: 'volume p v', format: 'raw' }],
      },
      { name: 'sda', readOnly: true, cache: 'writeback', images: [] },
    ],
  );
});

test('disks that are copied, and what is bound to the host, are found', () => {
  const document = domain(
    disk('/srv/a', END, "<mirror type='file' job='copy'><source file='/srv/b'/></mirror>"),
    `<hostdev mode='subsystem' type='pci'><source/></hostdev>`,
    `<hostdev mode='subsystem' type='pci'><teaming type='transient' persistent='ua-net'/></hostdev>`,
    `<filesystem type='mount'><source dir='/srv'/><target dir='shared'/></filesystem>`,
    `<shmem name='ring'><model type='ivshmem-plain'/></shmem>`,
  );
  assert.deepEqual(document.mirrors, ['vda']);
  assert.deepEqual(document.boundDevices, [
    'host device (pci)',
    'shared folder shared',
    'shared memory ring',
  ]);
});

test('a drive that was emptied while its VM ran has nothing in it', () => {
  const { disks } = domain(
    `<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source index='2'/>
     <target dev='sda' bus='sata' tray='open'/><readonly/></disk>`,
  );
  assert.deepEqual(disks[0]?.images, []);
});
