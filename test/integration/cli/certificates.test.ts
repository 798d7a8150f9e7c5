import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ServerCredentials } from '@grpc/grpc-js';
import { Certificates, type Credentials } from '../../../lab/node/certificates.ts';
import { judgeCertificate } from '../../../src/cli/doctor/certificate-checks.ts';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { FakeAgentServer } from '../../fakes/fake-agent-server.ts';

const never = new AbortController().signal;
const NODE_A = 'URI:spiffe://novacron/node/node-a,IP:127.0.0.1';

async function makeFolder() {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(os.tmpdir(), 'certificates-'));
  undo.defer(() => rm(folder, { recursive: true }));
  const certificates = await Certificates.ensure(path.join(folder, 'ca'), never);
  const owned = undo.move();
  return { folder, certificates, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function serve(stack: AsyncDisposableStack, files: Credentials): Promise<string> {
  const agent = stack.use(new FakeAgentServer());
  const [ca, key, certificate] = await Promise.all(
    [files.ca, files.key, files.certificate].map((file) => readFile(file)),
  );
  assert.ok(ca !== undefined && key !== undefined && certificate !== undefined);
  const pair = { private_key: key, cert_chain: certificate };
  const port = await agent.listen('127.0.0.1:0', ServerCredentials.createSsl(ca, [pair], true));
  return `127.0.0.1:${port}`;
}

test('an agent is reached over mutual TLS and must be the node that was asked for', async () => {
  await using made = await makeFolder();
  await using stack = new AsyncDisposableStack();
  const address = await serve(stack, await made.certificates.issue('a', NODE_A, never));
  const tls = await made.certificates.client('operator', never);

  using right = await AgentClient.open({ address, nodeName: 'node-a', tls });
  assert.equal((await right.node.get({ signal: never })).metadata?.name, 'node-a');

  using wrong = await AgentClient.open({ address, nodeName: 'node-b', tls });
  await assert.rejects(wrong.node.get({ signal: never }), {
    kind: 'unavailable',
    message: /its certificate is not that of node node-b/,
  });

  using unnamed = await AgentClient.open({ address, tls });
  assert.equal((await unnamed.node.get({ signal: never })).metadata?.name, 'node-a');
});

test('a server or a client of another authority is refused', async () => {
  await using made = await makeFolder();
  await using stack = new AsyncDisposableStack();
  const others = await Certificates.ensure(path.join(made.folder, 'others'), never);
  const files = await made.certificates.issue('a', NODE_A, never);
  const address = await serve(stack, files);
  const foreign = await others.client('operator', never);

  using suspicious = await AgentClient.open({ address, nodeName: 'node-a', tls: foreign });
  await assert.rejects(suspicious.node.get({ signal: never }), {
    message: /its certificate is not signed by our CA/,
  });

  const tls = { ...foreign, ca: files.ca };
  using intruder = await AgentClient.open({ address, nodeName: 'node-a', tls });
  await assert.rejects(intruder.node.get({ signal: never }), { kind: 'unavailable' });
});

async function judge(files: Credentials, change: { nodeName?: string; inDays?: number } = {}) {
  return judgeCertificate({
    certificate: await readFile(files.certificate, 'utf8'),
    key: await readFile(files.key, 'utf8'),
    ca: await readFile(files.ca, 'utf8'),
    nodeName: change.nodeName ?? 'node-a',
    nowMs: Date.now() + (change.inDays ?? 0) * 86_400_000,
  });
}

test('doctor judges certificates', async () => {
  await using made = await makeFolder();
  const others = await Certificates.ensure(path.join(made.folder, 'others'), never);
  const good = await made.certificates.issue('good', NODE_A, never);
  const foreign = await others.issue('foreign', NODE_A, never);
  const expired = await made.certificates.expired('expired', NODE_A, never);
  assert.equal((await judge(good)).level, 'ok');
  assert.match((await judge(good, { inDays: 350 })).detail, /expires in 1\d days/);
  assert.match((await judge(good, { inDays: 400 })).detail, /expired on/);
  assert.match((await judge(expired)).detail, /expired on/);
  assert.match((await judge(good, { nodeName: 'node-b' })).detail, /does not name this node/);
  assert.match(
    (await judge({ ...good, ca: foreign.ca })).detail,
    /not signed by the configured CA/,
  );
  assert.match((await judge({ ...good, key: foreign.key })).detail, /key is not that of/);
  assert.match((await judge({ ...good, ca: good.key })).detail, /not signed|cannot be read/);
});
