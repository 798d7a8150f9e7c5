import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ServerCredentials } from '@grpc/grpc-js';
import { run } from '../../../lab/core/run-command.ts';
import { Certificates, type Credentials } from '../../../lab/node/certificates.ts';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { judgeNodeCertificate } from '../../../src/core/node-certificate.ts';
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

interface Judged {
  readonly nodeName?: string;
  readonly inDays?: number;
}

/** What doctor and the agent's log say, in a line; the days that are left where nothing is wrong. */
async function judge(files: Credentials, { nodeName = 'node-a', inDays = 0 }: Judged = {}) {
  const [certificate, key, ca] = await Promise.all(
    [files.certificate, files.key, files.ca].map((file) => readFile(file, 'utf8')),
  );
  assert.ok(certificate !== undefined && key !== undefined && ca !== undefined);
  const nowMs = Date.now() + inDays * 86_400_000;
  const judged = judgeNodeCertificate({ certificate, key, ca, files, nodeName }, nowMs);
  if ('daysLeft' in judged) return `${judged.daysLeft} days`;
  return `${judged.kind}: ${judged.problem}. ${judged.toDo}`;
}

test("a node's certificate is judged in words that name the file and the way on", async () => {
  await using made = await makeFolder();
  const others = await Certificates.ensure(path.join(made.folder, 'others'), never);
  const good = await made.certificates.issue('good', NODE_A, never);
  const foreign = await others.issue('foreign', NODE_A, never);
  const expired = await made.certificates.expired('expired', NODE_A, never);
  const role = await made.certificates.client('viewer', never);
  const both = await made.certificates.issue(
    'both',
    `${NODE_A},URI:spiffe://novacron/node/b`,
    never,
  );
  const empty = path.join(made.folder, 'empty.pem');
  await writeFile(empty, '');
  const locked = path.join(made.folder, 'locked.key');
  await run(
    ['openssl', 'ec', '-in', good.key, '-aes256', '-passout', 'pass:x', '-out', locked],
    {},
    never,
  );

  const issue = /novactl pki issue node node-a --out DIR/;
  assert.match(await judge(good), /^36\d days$/);
  assert.match(await judge(good, { inDays: 350 }), /^ending: .*good\.pem expires in 1\d days/);
  for (const [said, expected] of [
    [await judge(expired), /^refused: .*expired\.pem expired on 20.*Z\./],
    [
      await judge({ ...good, ca: foreign.ca }),
      /^refused: .*not signed by the configured CA .*, but by CN=NovaCron lab/,
    ],
    [
      await judge(role),
      /^refused: .*does not name this node, node-a: it has URI:spiffe:\/\/novacron\/role\/viewer\./,
    ],
    [await judge(both), /^refused: .*it has URI:spiffe:\/\/novacron\/node\/node-a, URI:.*b\./],
    [
      await judge({ ...good, key: foreign.key }),
      /^unusable: The key .*foreign\.key is not that of the certificate .*good\.pem/,
    ],
    [
      await judge({ ...good, certificate: good.key }),
      /^unusable: .*good\.key is a key where a certificate should be/,
    ],
    [await judge({ ...good, certificate: empty }), /^unusable: .*empty\.pem is empty/],
    [
      await judge({ ...good, key: good.certificate }),
      /^unusable: .*good\.pem has no private key in it/,
    ],
    [
      await judge({ ...good, key: locked }),
      /^unusable: .*locked\.key is protected by a passphrase/,
    ],
  ] as const) {
    assert.match(said, expected);
    assert.match(said, issue);
  }
  assert.match(
    await judge({ ...good, ca: empty }),
    /^unusable: .*empty\.pem is empty\. Copy the certificate of the CA/,
  );
  assert.match(
    await judge(good, { inDays: -2 }),
    /^refused: .*valid only from .* the clock of this node says .*Check the clock/,
  );
  // The lab's authority lives as long as what it issues.
  assert.match(
    await judge(good, { inDays: 400 }),
    /^refused: The certificate .*good\.pem expired on/,
  );
  assert.match(await judge(good, { nodeName: 'node-b' }), /does not name this node, node-b/);
});
