import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { mkdir, mkdtempDisposable, readFile, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../../lab/core/run-command.ts';
import { runCli } from '../../../src/cli/program.ts';
import { AgentClient } from '../../../src/client/agent-client.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { BareAgent } from '../../fixtures/bare-agent.ts';

const never = new AbortController().signal;
/** One of this machine's own, which nobody else listens at. */
const ADDRESS = '127.211.7.43';

async function novactl(...words: readonly string[]) {
  const io = new FakeCliIo();
  const code = await runCli(words, io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}

async function makeFolder() {
  const folder = await mkdtempDisposable(path.join(os.tmpdir(), 'pki-'));
  const at = (name: string) => path.join(folder.path, name);
  const issue = async (holder: string, name: string, ...more: readonly string[]) =>
    await novactl('pki', 'issue', holder, name, '--dir', at('ca'), '--out', at(name), ...more);
  return { at, issue, [Symbol.asyncDispose]: () => folder.remove() };
}

async function makeAuthority() {
  const folder = await makeFolder();
  assert.equal((await novactl('pki', 'init', '--dir', folder.at('ca'))).code, 0);
  return folder;
}

async function modeOf(file: string): Promise<number> {
  return (await stat(file)).mode & 0o777;
}

function filesIn(folder: string) {
  return {
    certificate: path.join(folder, 'tls.crt'),
    key: path.join(folder, 'tls.key'),
    ca: path.join(folder, 'ca.crt'),
  };
}

test('a CA signs certificates and no other CAs, and its key is for its owner only', async () => {
  await using made = await makeAuthority();
  const text = await run(
    ['openssl', 'x509', '-text', '-noout', '-in', made.at('ca/ca.crt')],
    {},
    never,
  );
  assert.match(text, /Basic Constraints: critical\s+CA:TRUE, pathlen:0/);
  assert.match(text, /Key Usage: critical\s+Certificate Sign, CRL Sign/);
  assert.match(text, /ASN1 OID: prime256v1/);
  const { validFromDate, validToDate } = new X509Certificate(await readFile(made.at('ca/ca.crt')));
  assert.equal((validToDate.getTime() - validFromDate.getTime()) / 86_400_000, 3650);
  assert.deepEqual(
    [await modeOf(made.at('ca')), await modeOf(made.at('ca/ca.key'))],
    [0o700, 0o600],
  );
});

test("a node's certificate is good for both ends of a connection, and names the node", async () => {
  await using made = await makeAuthority();
  const { stdout } = await made.issue(
    'node',
    'node-1',
    '--address',
    '10.0.0.1',
    '--address',
    'fd00::1',
  );
  assert.match(stdout, /^Certificate of node node-1, good until \d{4}-\d\d-\d\d$/m);
  assert.match(stdout, /scp -p \S+\/node-1\/\* root@node-1:\/etc\/novacron\/pki\/$/m);
  const files = filesIn(made.at('node-1'));
  await run(
    ['openssl', 'verify', '-x509_strict', '-CAfile', files.ca, files.certificate],
    {},
    never,
  );
  const text = await run(
    ['openssl', 'x509', '-text', '-noout', '-in', files.certificate],
    {},
    never,
  );
  assert.match(text, /Basic Constraints: critical\s+CA:FALSE/);
  assert.match(text, /Key Usage: critical\s+Digital Signature\n/);
  assert.match(text, /TLS Web Server Authentication, TLS Web Client Authentication/);
  assert.match(
    text,
    /URI:spiffe:\/\/novacron\/node\/node-1, DNS:node-1, IP Address:10\.0\.0\.1, IP Address:FD00:/,
  );
  assert.deepEqual(await Promise.all(Object.values(files).map(modeOf)), [0o644, 0o600, 0o644]);
  const { validFromDate, validToDate } = new X509Certificate(await readFile(files.certificate));
  assert.equal((validToDate.getTime() - validFromDate.getTime()) / 86_400_000, 825);
});

test('of two certificates none has the serial number or the key of the other', async () => {
  await using made = await makeAuthority();
  await made.issue('operator', 'jane', '--days', '30');
  await made.issue('operator', 'joe', '--days', '30');
  const [one, other] = await Promise.all(
    ['jane', 'joe'].map(
      async (name) => new X509Certificate(await readFile(made.at(`${name}/tls.crt`))),
    ),
  );
  assert.notEqual(one?.serialNumber, other?.serialNumber);
  assert.notEqual(one?.fingerprint256, other?.fingerprint256);
  assert.ok(!one?.publicKey.equals(other?.publicKey ?? one.publicKey));
  assert.match(one?.subject ?? '', /CN=jane/);
});

test('an agent takes in whoever has a certificate of its CA by their role, and nobody of another', async () => {
  await using made = await makeAuthority();
  await made.issue('node', 'a', '--address', ADDRESS);
  await made.issue('node', 'b', '--address', '10.0.0.2');
  for (const role of ['controller', 'operator', 'viewer']) await made.issue(role, `the-${role}`);
  const address = `${ADDRESS}:7443`;
  const bare = await BareAgent.configure(made.at('a'), {
    stateDirectory: made.at('state'),
    listen: address,
    advertise: address,
    tls: filesIn(made.at('a')),
  });
  await using _agent = await bare.started();

  const open = (name: string) =>
    AgentClient.open({ address, nodeName: 'a', tls: filesIn(made.at(name)) });
  for (const role of ['controller', 'operator', 'viewer']) {
    using client = await open(`the-${role}`);
    assert.equal((await client.node.get({ signal: never })).metadata?.name, 'a', role);
  }
  using viewer = await open('the-viewer');
  await assert.rejects(viewer.node.update({ cordon: true }, { signal: never }), {
    reason: 'PERMISSION_DENIED',
  });
  using peer = await open('b');
  const versions = { protocolMin: 1, protocolMax: 1, agentVersion: 'test' };
  // Let in, it is told what this agent lacks.
  await assert.rejects(peer.peer.handshake(versions, { signal: never }), {
    reason: 'HYPERVISOR_UNREACHABLE',
  });
  await assert.rejects(peer.node.get({ signal: never }), { reason: 'PERMISSION_DENIED' });

  await using others = await makeAuthority();
  await others.issue('operator', 'mallory');
  const tls = { ...filesIn(others.at('mallory')), ca: made.at('ca/ca.crt') };
  using foreign = await AgentClient.open({ address, nodeName: 'a', tls });
  await assert.rejects(foreign.node.get({ signal: never }), { kind: 'unavailable' });
});

test('what an operator has to write into the contexts file is what novactl reads', async () => {
  await using made = await makeAuthority();
  const { stdout } = await made.issue('operator', 'jane');
  const contexts = stdout.slice(stdout.indexOf('contexts:\n')).replace('ADDRESS', '10.0.0.1');
  await writeFile(made.at('novactl.yaml'), contexts);
  const words = [
    '--config',
    made.at('novactl.yaml'),
    '--node',
    'node-1',
    '--request-timeout',
    '1ms',
  ];
  const { code } = await novactl('node', 'get', ...words);
  assert.ok(code === 5 || code === 7, `${code}`);
});

test('nothing that is there is replaced unasked', async () => {
  await using made = await makeAuthority();
  const again = await novactl('pki', 'init', '--dir', made.at('ca'));
  assert.equal(again.code, 1);
  assert.match(again.stderr, /ca\.crt is there already\nWhat to do: Issue certificates with/);
  await made.issue('operator', 'jane');
  const first = await readFile(made.at('jane/tls.crt'));
  const { code, stderr } = await made.issue('operator', 'jane');
  assert.equal(code, 1);
  assert.match(stderr, /tls\.crt is there already\nWhat to do: .*--out.*--replace/);
  assert.ok(first.equals(await readFile(made.at('jane/tls.crt'))));
  assert.equal((await made.issue('operator', 'jane', '--replace')).code, 0);
  assert.ok(!first.equals(await readFile(made.at('jane/tls.crt'))));
});

test('what cannot be issued says what to do about it', async () => {
  await using made = await makeAuthority();
  const none = await novactl(
    'pki',
    'issue',
    'node',
    'a',
    '--dir',
    made.at('x'),
    '--out',
    made.at('a'),
  );
  assert.match(
    none.stderr,
    /Cannot use the CA in .*: it does not exist\nWhat to do: .*novactl pki init/,
  );
  for (const [words, why] of [
    [['node', 'Node_1'], /cannot be the name of a node/],
    [['node', 'a,DNS:b'], /cannot be the name of a node/],
    [['operator', 'a\nb'], /cannot be the name of an operator/],
    [['viewer', 'jane', '--address', '10.0.0.1'], /--address is for nodes/],
    [['node', 'a', '--address', '10.0.0.1:7443'], /without a port/],
    [['node', 'a', '--days', '0'], /from 1 to 3650/],
    [['guest', 'a'], /Allowed choices are node, controller, operator, viewer/],
  ] as const) {
    const [holder, name, ...more] = words;
    const { code, stderr } = await made.issue(holder, name, ...more);
    assert.equal(code, 2, words.join(' '));
    assert.match(stderr, why);
  }
  const long = await made.issue('node', 'a', '--days', '3650');
  assert.match(
    long.stderr,
    /the CA is valid until .* only\nWhat to do: Ask for less: --days 36\d\d/,
  );
  await writeFile(made.at('file'), '');
  const file = await made.issue('node', 'file');
  assert.match(file.stderr, /Cannot write to the folder .*file \(E\w+\)\nWhat to do: /);
});

test('where openssl is not installed, that is said', async () => {
  await using made = await makeFolder();
  await mkdir(made.at('bin'));
  const { PATH } = process.env;
  process.env['PATH'] = made.at('bin');
  try {
    const { code, stderr } = await novactl('pki', 'init', '--dir', made.at('ca'));
    assert.equal(code, 1);
    assert.match(stderr, /openssl is not installed\nWhat to do: .*apt install openssl/);
  } finally {
    process.env['PATH'] = PATH;
  }
});
