import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import { createServer, type Http2Server } from 'node:http2';
import { test } from 'node:test';
import { repeatWhileLost } from '../../../src/client/repeat-while-lost.ts';
import { startAgent } from './served-agent.ts';

const never = new AbortController().signal;
const QUICKLY = { signal: never, minDelayMs: 5, maxDelayMs: 20 } as const;
const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';

/** An agent that is killed as soon as it has received a call. */
async function dyingAgent(address: string): Promise<{ server: Http2Server; asked: () => number }> {
  let asked = 0;
  const server = createServer();
  server.on('stream', (stream) => {
    asked += 1;
    stream.on('error', () => undefined);
    stream.session?.socket.destroy();
    server.close();
  });
  server.on('sessionError', () => undefined);
  server.listen(address.replace(/^unix:/, ''));
  await once(server, 'listening');
  return { server, asked: () => asked };
}

test('a call of an agent that is killed while it is asked is made again, with the same id', async () => {
  await using lab = await startAgent();
  lab.agent.put('web');
  lab.agent.stop();
  await rm(lab.address.replace(/^unix:/, ''), { force: true });
  const dying = await dyingAgent(lab.address);
  const losses: unknown[] = [];
  let listens: Promise<number> | undefined;
  const { operation } = await repeatWhileLost(
    () => lab.client.vms.start({ name: 'web' }, { signal: never, operationId: ID }),
    {
      ...QUICKLY,
      onLost(error) {
        losses.push(error?.reason);
        listens ??= lab.agent.listen(lab.address);
      },
    },
  );
  assert.equal(operation?.id, ID);
  assert.deepEqual([dying.asked(), losses[0]], [1, 'AGENT_UNREACHABLE']);
});

test('an agent that stays away after that is given up, with the last error', async () => {
  await using lab = await startAgent();
  lab.agent.stop();
  await rm(lab.address.replace(/^unix:/, ''), { force: true });
  const dying = await dyingAgent(lab.address);
  let asked = 0;
  const ask = () => {
    asked += 1;
    return lab.client.vms.start({ name: 'web' }, { signal: never, operationId: ID });
  };
  await assert.rejects(repeatWhileLost(ask, { ...QUICKLY, patienceMs: 50 }), {
    reason: 'AGENT_UNREACHABLE',
  });
  assert.equal(dying.asked(), 1);
  assert.ok(asked > 1);
});

test('an agent that is not there to begin with is asked once', async () => {
  await using lab = await startAgent();
  lab.agent.stop();
  let asked = 0;
  const ask = () => {
    asked += 1;
    return lab.client.vms.start({ name: 'web' }, { signal: never, operationId: ID });
  };
  await assert.rejects(repeatWhileLost(ask, QUICKLY), { reason: 'AGENT_UNREACHABLE' });
  assert.equal(asked, 1);
});
