import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  connectionUri,
  expectedSockets,
  LIBVIRT_SOCKETS,
} from '../../../../src/core/libvirt-socket.ts';
import {
  describeMissingSocket,
  findIncomingSocket,
} from '../../../../src/drivers/libvirt/libvirt-socket.ts';

const SYSTEM = 'qemu:///system';

test('a socket that is set is that of the own connection too', () => {
  const libvirtSocket = '/opt/libvirt/libvirt-sock';
  assert.equal(
    connectionUri({ uri: SYSTEM, libvirtSocket }),
    'qemu+unix:///system?socket=/opt/libvirt/libvirt-sock',
  );
  assert.equal(connectionUri({ uri: SYSTEM, libvirtSocket: 'auto' }), SYSTEM);
  const uri = 'qemu+unix:///system?socket=/x';
  assert.equal(connectionUri({ uri, libvirtSocket }), uri);
});

test('migrations come in where the own connection leads to, unless told otherwise', () => {
  const uri = 'qemu+unix:///system?socket=/x/sock';
  assert.deepEqual(expectedSockets({ uri, libvirtSocket: 'auto' }), ['/x/sock']);
  assert.deepEqual(expectedSockets({ uri, libvirtSocket: '/y' }), ['/y']);
  assert.deepEqual(expectedSockets({ uri: SYSTEM, libvirtSocket: 'auto' }), LIBVIRT_SOCKETS);
});

test('a socket that is there is found, and one that is not is told with where libvirt is', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'novacron-sockets-'));
  const server = createServer();
  try {
    const there = join(folder, 'libvirt-sock');
    const missing = join(folder, 'virtqemud-sock');
    server.listen(there);
    await once(server, 'listening');
    const find = (libvirtSocket: string) => findIncomingSocket({ uri: SYSTEM, libvirtSocket });
    assert.deepEqual(await find(there), { path: there });
    const { problem = '' } = await find(missing);
    assert.ok(problem.startsWith(`${missing} is no socket, but libvirt listens at `), problem);
    assert.match(problem, /; set hypervisor\.libvirtSocket: \/.*-sock$/);
    writeFileSync(missing, '');
    assert.ok((await find(missing)).problem);
    const uri = `qemu+unix:///system?socket=${missing}`;
    assert.match(
      await describeMissingSocket({ uri, libvirtSocket: 'auto' }),
      /libvirt listens at /,
    );
    const right = `qemu+unix:///system?socket=${there}`;
    assert.equal(await describeMissingSocket({ uri: right, libvirtSocket: 'auto' }), '');
  } finally {
    server.close();
    rmSync(folder, { recursive: true });
  }
});
