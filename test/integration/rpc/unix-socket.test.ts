import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { listenUnix } from '../../../src/agent/rpc/unix-listener.ts';
import { hasReason } from '../../../src/core/errors.ts';
import { call, RpcHarness, until } from './rpc-harness.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'nc-sock-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const drop = (socket: net.Socket) => socket.destroy();

test('only this user may connect from the very moment the socket exists', async () => {
  const socket = path.join(folder, 'mode.sock');
  const modes: number[] = [];
  const mask = process.umask();
  const listening = listenUnix(socket, drop);
  while (modes.length === 0) {
    if (existsSync(socket)) modes.push(statSync(socket).mode & 0o777);
    await new Promise(setImmediate);
  }
  const server = await listening;
  assert.deepEqual(modes, [0o600]);
  assert.equal(process.umask(), mask);
  server.close();
});

test('the socket of a killed agent is replaced', async () => {
  const socket = path.join(folder, 'stale.sock');
  const script = `require('net').createServer().listen(${JSON.stringify(socket)})`;
  const child = spawn(process.execPath, ['-e', script]);
  await until(() => existsSync(socket));
  child.kill('SIGKILL');
  await once(child, 'exit');
  assert.ok(existsSync(socket));
  const server = await listenUnix(socket, drop);
  const client = net.connect(socket);
  await once(client, 'connect');
  client.destroy();
  server.close();
});

test('the socket of a running agent is left alone, even if that agent is stopped', async () => {
  const socket = path.join(folder, 'live.sock');
  const script = `require('net').createServer().listen(${JSON.stringify(socket)})`;
  const child = spawn(process.execPath, ['-e', script]);
  await until(() => existsSync(socket));
  await assert.rejects(listenUnix(socket, drop), (error) => hasReason(error, 'INVALID_CONFIG'));
  child.kill('SIGSTOP');
  await assert.rejects(listenUnix(socket, drop), /is an agent running already/);
  child.kill('SIGKILL');
  await once(child, 'exit');
});

test('a file that is no socket is never removed', async () => {
  const file = path.join(folder, 'precious');
  await writeFile(file, 'data');
  await assert.rejects(listenUnix(file, drop), /it is not a socket/);
  assert.ok(existsSync(file));
});

test('a path that is too long is refused in words', async () => {
  await assert.rejects(listenUnix(`/${'x'.repeat(120)}`, drop), /at most 107 bytes/);
});

test('garbage on the unix socket ends that connection and nothing else', async () => {
  await using harness = await RpcHarness.start();
  const client = net.connect(harness.socket);
  client.on('error', () => undefined);
  client.write('GET / HTTP/1.1\r\n\r\n');
  client.resume();
  await once(client, 'close');
  const { node } = harness.clients();
  await call((request, callback) => node.getNode(request, callback), {});
  await until(() => harness.server.connections === 1);
});
