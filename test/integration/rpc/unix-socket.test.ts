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
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { call, RpcHarness, until } from './rpc-harness.ts';

let folder: string;
before(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'nc-sock-'));
});
after(() => rm(folder, { recursive: true, force: true }));

const drop = (socket: net.Socket) => socket.destroy();

/** Another process that listens; its socket exists before anybody listens on it, so it says when it does. */
async function listenElsewhere(socket: string): Promise<OwnedProcess> {
  const script = `require('net').createServer().listen(${JSON.stringify(socket)}, () => console.log('listening'))`;
  await using undo = new AsyncDisposableStack();
  const other = undo.use(
    new OwnedProcess(
      spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] }),
    ),
  );
  assert.equal(await other.nextLine(), 'listening');
  undo.move();
  return other;
}

test('only this user may connect from the very moment the socket exists', async () => {
  const socket = path.join(folder, 'mode.sock');
  const mask = process.umask();
  const settled = new AbortController();
  const listening = listenUnix(socket, drop).finally(() => settled.abort());
  while (!existsSync(socket) && !settled.signal.aborted) await new Promise(setImmediate);
  const mode = existsSync(socket) && statSync(socket).mode & 0o777;
  await using _server = await listening;
  assert.equal(mode, 0o600);
  assert.equal(process.umask(), mask);
});

test('the socket of a killed agent is replaced', async () => {
  const socket = path.join(folder, 'stale.sock');
  await using other = await listenElsewhere(socket);
  await other.kill();
  assert.ok(existsSync(socket));
  await using _server = await listenUnix(socket, drop);
  using stack = new DisposableStack();
  const client = stack.adopt(net.connect(socket), drop);
  await once(client, 'connect');
});

test('the socket of a running agent is left alone, even if that agent is stopped', async () => {
  const socket = path.join(folder, 'live.sock');
  await using other = await listenElsewhere(socket);
  await assert.rejects(listenUnix(socket, drop), (error) => hasReason(error, 'INVALID_CONFIG'));
  other.child.kill('SIGSTOP');
  await assert.rejects(listenUnix(socket, drop), /maybe an agent that runs already/);
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
  using stack = new DisposableStack();
  const client = stack.adopt(net.connect(harness.socket), drop);
  client.on('error', () => undefined);
  client.write('GET / HTTP/1.1\r\n\r\n');
  client.resume();
  await once(client, 'close');
  const { node } = harness.clients();
  await call((request, callback) => node.getNode(request, callback), {});
  await until(() => harness.server.connections === 1);
});
