import assert from 'node:assert/strict';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import path from 'node:path';
import { test } from 'node:test';
import { startAndKill } from './killed-starter.ts';
import { BINARY, missing, openStreamerNodes } from './streamer-nodes.ts';

const MIB = 1024 ** 2;
const signal = AbortSignal.timeout(240_000);

function digest(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function drop(socket: Socket): void {
  socket.destroy();
}

/** Sends all and then nothing more; gives what the other side sent until it did the same. */
async function exchange(socket: Socket, bytes: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (chunk: Buffer) => chunks.push(chunk));
  // Not by iteration, which destroys the socket at the end, with what is not yet written.
  const ended = once(socket, 'end');
  const written = once(socket, 'finish');
  socket.end(bytes);
  await Promise.all([ended, written]);
  return Buffer.concat(chunks);
}

for (const [family, host] of [
  ['IPv4', '127.0.0.1'],
  ['IPv6', '::1'],
] as const) {
  test(
    `bytes go both ways between unix sockets of two nodes over ${family}, whole and counted, and nothing is left`,
    {
      skip: missing,
    },
    () => goBothWays(host),
  );
}

async function goBothWays(host: string): Promise<void> {
  await using nodes = await openStreamerNodes(host);
  const { source, destination } = nodes;
  const id = randomUUID();
  const token = randomBytes(32).toString('hex');
  const base = { id, token, bandwidthBytesPerSecond: 0 };
  const service = { name: 'bulk', priority: 'bulk' } as const;

  const target = `${destination.socketPath(id, 'bulk')}.target`;
  const { listenPort } = await destination.start(
    {
      ...base,
      role: 'destination',
      peerName: nodes.sourceName,
      connect: undefined,
      services: [{ ...service, path: target }],
    },
    signal,
  );
  // Random bytes there, compressible ones back.
  const there = randomBytes(8 * MIB);
  const back = Buffer.alloc(8 * MIB, 'the same again and again; ');
  using stack = new DisposableStack();
  const server = stack.adopt(createServer({ allowHalfOpen: true }), (open) => open.close());
  server.listen(target);
  const accepted = once(server, 'connection').then(([socket]) =>
    exchange(stack.adopt(socket as Socket, drop), back),
  );

  await source.start(
    {
      ...base,
      role: 'source',
      peerName: nodes.destinationName,
      connect: { host, port: listenPort },
      services: [{ ...service, path: source.socketPath(id, 'bulk') }],
    },
    signal,
  );
  const socket = stack.adopt(
    connect({ path: source.socketPath(id, 'bulk'), allowHalfOpen: true }),
    drop,
  );
  await once(socket, 'connect');
  const [received, delivered] = await Promise.all([exchange(socket, there), accepted]);
  assert.equal(digest(delivered), digest(there));
  assert.equal(digest(received), digest(back));

  const counted = await source.find(id, signal);
  assert.ok(counted);
  assert.equal(counted.rawBytesSent, there.length);
  assert.equal(counted.rawBytesReceived, back.length);
  assert.ok(counted.wireBytesSent >= there.length);

  for (const node of [source, destination]) {
    const directory = path.dirname(path.dirname(node.socketPath(id, 'bulk')));
    await node.remove(id, signal);
    assert.equal(existsSync(directory), false);
    assert.deepEqual(readdirSync(path.dirname(directory)), []);
  }
}

test('a real transfer outlives a kill -9 of the process group that started it', {
  skip: missing,
}, async () => {
  await using nodes = await openStreamerNodes();
  const tls = JSON.stringify(nodes.destinationTls);
  const id = await startAndKill(nodes.destinationDirectory, BINARY, tls);
  const found = await nodes.destination.find(id, signal);
  assert.equal(found?.state, 'listening');
  const connected = await nodes.source.start(
    {
      id,
      role: 'source',
      peerName: nodes.destinationName,
      token: 'ab'.repeat(32),
      connect: { host: '127.0.0.1', port: found.listenPort },
      bandwidthBytesPerSecond: 0,
      services: [{ name: 'ram', path: nodes.source.socketPath(id, 'ram'), priority: 'bulk' }],
    },
    signal,
  );
  assert.equal(connected.state, 'connected');
  await nodes.destination.remove(id, signal);
  assert.deepEqual(await nodes.destination.list(signal), []);
});
