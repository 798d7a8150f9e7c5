import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../../lab/core/run-command.ts';
import { NoPeers } from '../../../src/agent/rpc/no-peers.ts';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { BareAgent } from '../../fixtures/bare-agent.ts';

const never = new AbortController().signal;
const ALONE = { advertise: undefined, listen: undefined, tls: undefined };

test('a node that is alone answers on its unix socket, and takes nothing from elsewhere but for its metrics', async () => {
  await using folder = await mkdtempDisposable(path.join(os.tmpdir(), 'alone-'));
  const stateDirectory = path.join(folder.path, 'state');
  const bare = await BareAgent.configure(folder.path, { stateDirectory, ...ALONE });
  await using agent = await bare.started();
  using client = await AgentClient.open({ address: `unix:${bare.socket}` });
  const { status } = await client.node.get({ signal: never });
  assert.equal(status?.advertiseAddress, '');
  const listening = await run(['ss', '-Hltnp'], {}, never);
  const own = listening.split('\n').filter((line) => line.includes(`pid=${agent.pid},`));
  assert.equal(own.length, 1, own.join('\n'));
  assert.match(own[0] ?? '', / 127\.0\.0\.1:\d+ /);
});

test('whoever wants something of another node is told that this one is alone', async () => {
  const refusal = { reason: 'PEER_UNKNOWN', message: /^Cannot reach node b: this node is alone, / };
  const peers = new NoPeers();
  assert.throws(() => peers.find('b'), refusal);
  await assert.rejects(peers.visit('b'), refusal);
  assert.deepEqual(peers.list(), []);
});
