import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import http2 from 'node:http2';
import net from 'node:net';
import path from 'node:path';
import { after, before, test } from 'node:test';
import tls from 'node:tls';
import { status as Code, type ServiceError } from '@grpc/grpc-js';
import { pino } from 'pino';
import {
  type Credentials,
  Certificates as LabCertificates,
} from '../../../lab/node/certificates.ts';
import { Certificates } from '../../../src/agent/rpc/certificates.ts';
import { listenTls } from '../../../src/agent/rpc/tls-listener.ts';
import { hasReason } from '../../../src/core/errors.ts';
import { MigrationServiceService } from '../../../src/gen/novacron/agent/v1/migration.ts';
import { NodeServiceService } from '../../../src/gen/novacron/agent/v1/node.ts';
import { OperationServiceService } from '../../../src/gen/novacron/agent/v1/operation.ts';
import {
  GetConsoleLogRequest,
  VirtualMachineServiceService,
} from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { PeerServiceService } from '../../../src/gen/novacron/peer/v1/peer.ts';
import {
  call,
  type Failure,
  failure,
  never,
  nodeNames,
  RpcHarness,
  readFailure,
  until,
} from './rpc-harness.ts';
import { issueShortLived } from './short-lived-certificate.ts';

let harness: RpcHarness;
let operator: Credentials;
before(async () => {
  harness = await RpcHarness.start();
  operator = await harness.identity('spiffe://novacron/role/operator');
});
after(() => harness[Symbol.asyncDispose]());

const getNode = (files: Credentials, options = {}) => {
  const { node } = harness.clients(files, options);
  return call((request, callback) => node.getNode(request, callback), {});
};

function connect(stack: DisposableStack, options: tls.ConnectionOptions): tls.TLSSocket {
  const socket = tls.connect({
    host: '127.0.0.1',
    port: harness.server.port,
    ca: readFileSync(operator.ca),
    servername: 'node-a',
    ALPNProtocols: ['h2'],
    ...options,
  });
  return stack.adopt(socket, drop);
}

function connectHttp2(stack: DisposableStack): http2.ClientHttp2Session {
  const session = http2.connect(`https://${harness.address}`, {
    cert: readFileSync(operator.certificate),
    key: readFileSync(operator.key),
    ca: readFileSync(operator.ca),
    servername: 'node-a',
  });
  return stack.adopt(session, drop);
}

function drop(connection: { destroy(): void }): void {
  connection.destroy();
}

/** Whether the other side ended the connection, and with which error. */
async function ending(socket: net.Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let error = '';
  socket.on('error', (reason: NodeJS.ErrnoException) => (error = reason.code ?? reason.message));
  socket.on('close', () => resolve(error));
  socket.resume();
  return promise;
}

test('a client with a certificate of our CA is served by TLS 1.3', async () => {
  using stack = new DisposableStack();
  await getNode(operator);
  const socket = connect(stack, {
    cert: readFileSync(operator.certificate),
    key: readFileSync(operator.key),
  });
  await once(socket, 'secureConnect');
  assert.equal(socket.getProtocol(), 'TLSv1.3');
});

test('a client without a certificate does not get past the handshake', async () => {
  using stack = new DisposableStack();
  assert.match(await ending(connect(stack, {})), /CERTIFICATE_REQUIRED/);
});

test('a client of another CA is refused', async () => {
  const others = await LabCertificates.ensure(path.join(harness.folder, 'other-ca'), never);
  const forged = await others.issue('client', 'URI:spiffe://novacron/role/operator', never);
  const failed = await failure(getNode({ ...forged, ca: operator.ca }));
  assert.equal(failed.code, Code.UNAVAILABLE);
});

test('an expired certificate is refused', async () => {
  const names = 'URI:spiffe://novacron/role/operator';
  const expired = await harness.authority.expired('expired', names, never);
  assert.equal((await failure(getNode(expired))).code, Code.UNAVAILABLE);
});

const same = (bytes: Buffer) => bytes;

/** Every call that is answered with a stream for as long as the caller likes. */
const STREAMS = [
  [VirtualMachineServiceService.watchVirtualMachines.path, Buffer.of()],
  [
    VirtualMachineServiceService.getConsoleLog.path,
    GetConsoleLogRequest.encode(
      GetConsoleLogRequest.fromPartial({ ref: { name: 'web' }, follow: true }),
    ).finish(),
  ],
  [MigrationServiceService.watchMigrations.path, Buffer.of()],
  [OperationServiceService.watchOperations.path, Buffer.of()],
  [NodeServiceService.watchNode.path, Buffer.of()],
  ['/grpc.health.v1.Health/Watch', Buffer.of()],
] as const;

test('a certificate that expires ends all of its open streams and lets no call in any more', async () => {
  const streaming = [
    VirtualMachineServiceService,
    MigrationServiceService,
    OperationServiceService,
    NodeServiceService,
    PeerServiceService,
  ].flatMap((service) => Object.values(service).filter(({ responseStream }) => responseStream));
  // One more is that of health.
  assert.equal(STREAMS.length, streaming.length + 1);
  harness.vms.console = async function* (signal) {
    yield Buffer.from('login: ');
    await once(signal, 'abort');
  };
  // On a busy machine a short life may be over before the streams are there.
  for (let seconds = 2; ; seconds *= 2) {
    const files = await issueShortLived(harness.folder, `short-${seconds}`, seconds);
    const { raw } = harness.clients(files);
    const streams = STREAMS.map(([method, request]) => {
      const stream = raw.makeServerStreamRequest(method, same, same, Buffer.from(request));
      const ended = new Promise<Failure>((resolve) =>
        stream.on('error', (error: ServiceError) => resolve(readFailure(error))),
      );
      const begun = once(stream, 'data').catch(() => undefined);
      stream.resume();
      return { method, begun, ended };
    });
    const first = await Promise.all(
      streams.map(({ begun, ended }) => Promise.race([begun, ended])),
    );
    if (!first.every((data) => Array.isArray(data))) continue;
    for (const { method, ended } of streams) {
      const { reason, message } = await ended;
      assert.equal(reason, 'UNAUTHENTICATED', method);
      assert.match(
        message,
        /certificate of spiffe:\/\/novacron\/role\/operator has expired/,
        method,
      );
    }
    const { path: getNode } = NodeServiceService.getNode;
    const next = new Promise<Failure>((resolve) =>
      raw.makeUnaryRequest(getNode, same, same, Buffer.of(), (error) =>
        resolve(readFailure(error ?? {})),
      ),
    );
    assert.equal((await next).reason, 'UNAUTHENTICATED');
    await until(() => harness.server.runningCalls === 0);
    return;
  }
});

test('TLS 1.2 is refused', async () => {
  assert.equal(
    (await failure(getNode(operator, { maxVersion: 'TLSv1.2' }))).code,
    Code.UNAVAILABLE,
  );
});

test('a client that does not ask for HTTP/2 is refused', async () => {
  const files = { cert: readFileSync(operator.certificate), key: readFileSync(operator.key) };
  using stack = new DisposableStack();
  await ending(connect(stack, { ...files, ALPNProtocols: ['http/1.1'] }));
  await ending(connect(stack, { ...files, ALPNProtocols: [] }));
});

for (const [title, bytes] of [
  ['plain HTTP', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['a plain HTTP/2 preface', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
  ['garbage', '\u0000\u0001\u0002'.repeat(1_000)],
] as const) {
  test(`${title} on the TLS port ends that connection and nothing else`, async () => {
    using stack = new DisposableStack();
    const socket = stack.adopt(net.connect(harness.server.port, '127.0.0.1'), drop);
    socket.write(bytes);
    await ending(socket);
    await getNode(operator);
  });
}

test('garbage after a good handshake ends that connection and nothing else', async () => {
  const { connections } = harness.server;
  using stack = new DisposableStack();
  const socket = connect(stack, {
    cert: readFileSync(operator.certificate),
    key: readFileSync(operator.key),
  });
  socket.write(Buffer.alloc(10_000, 7));
  await ending(socket);
  await until(() => harness.server.connections === connections);
  await getNode(operator);
});

test('clients that connect and say nothing do not disturb the others', async () => {
  using stack = new DisposableStack();
  const silent = Array.from({ length: 50 }, () =>
    stack.adopt(net.connect(harness.server.port, '127.0.0.1'), drop),
  );
  await Promise.all(silent.map((socket) => once(socket, 'connect')));
  await getNode(operator);
});

test('odd requests over good HTTP/2 are answered and do no harm', async () => {
  using stack = new DisposableStack();
  const session = connectHttp2(stack);
  const grpc = { ':method': 'POST', 'content-type': 'application/grpc', te: 'trailers' };
  const getNodePath = '/novacron.agent.v1.NodeService/GetNode';
  for (const headers of [
    { ':method': 'GET', ':path': '/' },
    { ...grpc, ':path': '/__proto__' },
    { ...grpc, ':path': '/constructor/toString' },
    { ...grpc, ':path': `/${'x'.repeat(20_000)}` },
    { ...grpc, ':path': '/ü\u0080ÿ/%00%zz' },
    { ...grpc, ':path': getNodePath, 'grpc-timeout': 'forever' },
    { ...grpc, ':path': getNodePath, 'grpc-timeout': '99999999H' },
    { ...grpc, ':path': getNodePath, 'grpc-encoding': 'zip' },
    { ...grpc, ':path': getNodePath, 'x-bin': '%%%not base64%%%' },
  ]) {
    const stream = session.request(headers);
    stream.on('error', () => undefined);
    // A message that claims to be 4 GiB long, then one that claims to be compressed.
    stream.write(Buffer.from('00ffffffff00', 'hex'));
    stream.end(Buffer.from('010000000401020304', 'hex'));
    stream.resume();
    await new Promise((resolve) => stream.once('close', resolve));
  }
  await getNode(operator);
});

test('a port that is taken and files that cannot be used are told in words', async () => {
  const log = pino({ level: 'silent' });
  const { certificates } = harness;
  await assert.rejects(
    listenTls({ host: '127.0.0.1', port: harness.server.port }, certificates, log, () => undefined),
    (error) => hasReason(error, 'INVALID_CONFIG') && /EADDRINUSE/.test(error.message),
  );
  const { certificate, key, ca } = operator;
  for (const files of [
    { certificate, key, ca: '/nowhere' },
    { certificate, key, ca: key },
    { certificate, key: harness.nodeFiles.key, ca },
    { certificate: key, key, ca },
  ]) {
    await assert.rejects(Certificates.open(files, log), (error) =>
      hasReason(error, 'INVALID_CONFIG'),
    );
  }
});

test('what others hold against a certificate is said once, when it comes to be so', async () => {
  const { folder, nodeFiles } = harness;
  const authority = await LabCertificates.ensure(path.join(folder, 'own-ca'), never);
  const good = await authority.issue('good', 'URI:spiffe://novacron/node/a', never);
  const bad = await authority.expired('bad', 'URI:spiffe://novacron/node/a', never);
  const at = path.join(folder, 'watched');
  await mkdir(at);
  const files = { certificate: path.join(at, 'crt'), key: path.join(at, 'key'), ca: good.ca };
  const take = async ({ certificate, key }: typeof nodeFiles) => {
    await copyFile(certificate, files.certificate);
    await copyFile(key, files.key);
  };
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  await take(good);
  using certificates = await Certificates.open(files, log, { nodeName: 'a' });
  assert.equal(lines.length, 0);
  const { expiresAtMs, lifetimeMs, ...valid } = certificates.report();
  assert.deepEqual(valid, { reason: 'Valid', message: '' });
  assert.ok(expiresAtMs > Date.now() && lifetimeMs > 0);
  await take(bad);
  await certificates.refresh();
  await certificates.refresh();
  const complaints = () => lines.filter((line) => line.includes('refuse the certificate'));
  assert.equal(complaints().length, 1);
  assert.match(complaints()[0] ?? '', /watched\/crt expired on .*novactl pki issue node a/);
  const refused = certificates.report();
  assert.equal(refused.reason, 'Refused');
  assert.match(refused.message, /watched\/crt expired on .*novactl pki issue node a/);
  assert.ok(refused.expiresAtMs < Date.now());
  await take(good);
  await certificates.refresh();
  await take(bad);
  await certificates.refresh();
  assert.equal(complaints().length, 2);
});

test('a certificate that ends while its files are half replaced is told', async () => {
  const { folder } = harness;
  const names = 'URI:spiffe://novacron/node/a';
  const short = await issueShortLived(folder, 'short-node', 2, names);
  using certificates = await Certificates.open(short, pino({ level: 'silent' }), { nodeName: 'a' });
  assert.notEqual(certificates.report().reason, 'Refused');
  // As one that is being written.
  writeFileSync(short.key, '');
  await until(async () => {
    await certificates.refresh();
    return certificates.report().reason === 'Refused';
  });
  assert.match(certificates.report().message, /certificate\.pem expired on /);
});

test('a request of more than 4 MiB is refused, compressed or not', async () => {
  const { raw } = harness.clients(operator);
  const send = (bytes: Buffer, options = {}) =>
    failure(
      new Promise((resolve, reject) => {
        raw.makeUnaryRequest(
          '/novacron.agent.v1.NodeService/GetNode',
          () => bytes,
          () => undefined,
          {},
          options,
          (error) => (error === null ? resolve(undefined) : reject(error)),
        );
      }),
    );
  assert.equal((await send(Buffer.alloc(5 * 1024 ** 2))).code, Code.RESOURCE_EXHAUSTED);

  // 64 MiB of zeros in 64 KiB.
  const { gzipSync } = await import('node:zlib');
  const bomb = gzipSync(Buffer.alloc(64 * 1024 ** 2));
  using stack = new DisposableStack();
  const session = connectHttp2(stack);
  const stream = session.request({
    ':method': 'POST',
    ':path': '/novacron.agent.v1.NodeService/GetNode',
    'content-type': 'application/grpc',
    'grpc-encoding': 'gzip',
    te: 'trailers',
  });
  const frame = Buffer.alloc(5);
  frame.writeUInt8(1, 0);
  frame.writeUInt32BE(bomb.length, 1);
  stream.end(Buffer.concat([frame, bomb]));
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  assert.equal(Number(headers['grpc-status']), Code.RESOURCE_EXHAUSTED);
});

test('a request that cannot be decoded is an invalid argument', async () => {
  const { raw } = harness.clients(operator);
  const failed = await failure(
    new Promise((resolve, reject) => {
      raw.makeUnaryRequest(
        '/novacron.agent.v1.MigrationService/GetMigration',
        () => Buffer.from('0affffffff0f41', 'hex'),
        () => undefined,
        {},
        (error) => (error === null ? resolve(undefined) : reject(error)),
      );
    }),
  );
  assert.equal(failed.reason, 'INVALID_REQUEST');
});

/** Serial number of the certificate that the server shows to a new connection. */
async function shownSerial(files: Credentials): Promise<string> {
  using stack = new DisposableStack();
  const socket = connect(stack, {
    cert: readFileSync(files.certificate),
    key: readFileSync(files.key),
    rejectUnauthorized: false,
  });
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerCertificate();
  assert.equal(socket.getProtocol(), 'TLSv1.3');
  return serialNumber;
}

test('a replaced certificate is shown to new connections; half a replacement changes nothing', async () => {
  const next = await harness.authority.issue('node-renewed', nodeNames('node-a'), never);
  const old = await shownSerial(operator);
  const client = harness.clients(operator).node;
  const ask = () => call((request, callback) => client.getNode(request, callback), {});
  await ask();

  await copyFile(next.certificate, harness.nodeFiles.certificate);
  await harness.certificates.refresh();
  assert.equal(await shownSerial(operator), old);

  const noticed = new Promise((resolve) => harness.certificates.onChange(resolve));
  await copyFile(next.key, harness.nodeFiles.key);
  await noticed;
  const renewed = new X509Certificate(readFileSync(next.certificate)).serialNumber;
  assert.equal(await shownSerial(operator), renewed);
  // Connections of before go on, and old TLS versions have not come back.
  await ask();
  assert.equal(
    (await failure(getNode(operator, { maxVersion: 'TLSv1.2' }))).code,
    Code.UNAVAILABLE,
  );
});

test('a replaced CA ends the connections that the old one let in', async () => {
  const others = await LabCertificates.ensure(path.join(harness.folder, 'next-ca'), never);
  const client = harness.clients(operator).node;
  const watch = client.watchNode({ cursor: undefined });
  const ended = new Promise<{ code: number; details: string }>((resolve) =>
    watch.on('error', (error) => resolve(error as never)),
  );
  await once(watch, 'data');

  const before = readFileSync(harness.nodeFiles.ca);
  await copyFile(others.ca, harness.nodeFiles.ca);
  await harness.certificates.refresh();
  assert.equal((await ended).code, Code.UNAVAILABLE);
  const renewed = await others.issue('client', 'URI:spiffe://novacron/role/operator', never);
  // The server's own certificate is still of the old CA.
  const { writeFile } = await import('node:fs/promises');
  const oldCa = path.join(harness.folder, 'old-ca.pem');
  await writeFile(oldCa, before);
  await getNode({ ...renewed, ca: oldCa });
  assert.equal((await failure(getNode({ ...operator, ca: oldCa }))).code, Code.UNAVAILABLE);
});
