import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { copyFile } from 'node:fs/promises';
import { after, before, beforeEach, test } from 'node:test';
import { pino } from 'pino';
import type { Credentials } from '../../../lab/node/certificates.ts';
import type { IncomingVm } from '../../../src/agent/migration/migration.ts';
import type { Peer } from '../../../src/agent/migration/peers.ts';
import { NO_PROGRESS } from '../../../src/agent/migration/progress.ts';
import { Certificates } from '../../../src/agent/rpc/certificates.ts';
import { GrpcPeers } from '../../../src/agent/rpc/grpc-peers.ts';
import { AgentError, hasReason, type Reason } from '../../../src/core/errors.ts';
import { MIGRATION_ID } from '../../fakes/fake-migration-service.ts';
import { VM_UID } from '../../fakes/fake-vm-service.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { DeafServer } from './deaf-server.ts';
import { never, nodeNames, RpcHarness, until } from './rpc-harness.ts';
import { issueShortLived } from './short-lived-certificate.ts';

const stack = new AsyncDisposableStack();
let harness: RpcHarness;
let certificates: Certificates;
let peers: GrpcPeers;
let peer: Peer;

/** The harness is node-a; the calls come from node-z. */
before(async () => {
  harness = stack.use(await RpcHarness.start());
  const files = await harness.authority.issue('node-z', nodeNames('node-z'), never);
  certificates = stack.use(await Certificates.open(files, pino({ level: 'silent' })));
  const addresses = { 'node-a': harness.address };
  peers = stack.use(new GrpcPeers({ addresses, certificates }));
  peer = peers.find('node-a', undefined);
});
after(() => stack.disposeAsync());
beforeEach(() => {
  harness.incoming.failure = undefined;
});

const content = Buffer.from('#cloud-config');
const sha256 = createHash('sha256').update(content).digest('hex');

const incoming: IncomingVm = {
  definition: tinyVm({
    owner: 'host-z',
    annotations: { note: 'ü' },
    privateFiles: { 'user-data': sha256 },
  }),
  machineType: 'pc-q35-7.2',
  accelerator: 'kvm',
  memoryBytes: 64 * 1024 ** 2,
  vcpus: 1,
  cpu: 'qemu64',
  bridges: ['br0', 'virbr1'],
  hypervisorName: 'renamed',
  privateFiles: { 'user-data': content },
  sourceHostUuid: 'host-z',
  sourceQemuVersion: '7.2.22',
  requiredFeatures: ['private-files'],
};

const reason = (wanted: Reason, pattern: RegExp) => (error: unknown) =>
  hasReason(error, wanted) && pattern.test(error.message);

test('a VM arrives at the other node as it was sent', async () => {
  assert.deepEqual(await peer.check(incoming, never), []);
  assert.deepEqual(harness.incoming.calls.at(-1), { method: 'check', argument: incoming });
  assert.equal(harness.incoming.callers.at(-1), 'node-z');

  const request = { migrationId: MIGRATION_ID, incoming, transferToken: 'ab'.repeat(32) };
  assert.deepEqual(await peer.prepare(request, never), { host: '10.0.0.2', port: 49_152 });
  assert.deepEqual(harness.incoming.calls.at(-1)?.argument, request);
});

test('images are compared, and whatever was found comes back', async () => {
  const mark = `.novacron-probe-${'ab'.repeat(16)}`;
  const places = [
    { kind: 'file', path: '/srv/a.qcow2', format: 'qcow2', mark },
    { kind: 'block', path: '/dev/vg/a', format: 'raw', mark: '' },
  ] as const;
  harness.incoming.sightings = [
    { kind: 'file', name: 'a', format: 'raw', sizeBytes: undefined, fileId: undefined },
    { kind: 'file', name: 'a', format: 'raw', sizeBytes: 5, fileId: '6969:18446744073709551615' },
    { kind: 'block', deviceId: 'naa.1', sizeBytes: 512 },
    { kind: 'missing' },
    { kind: 'other' },
    { kind: 'unknown', problem: 'it hangs' },
    { kind: 'refused', problem: 'it is outside' },
  ];
  assert.deepEqual(await peer.compareImages(VM_UID, places, never), harness.incoming.sightings);
  assert.deepEqual(harness.incoming.calls.at(-1), { method: 'compareImages', argument: places });
});

test('a node cannot be asked whether it has files that the caller has not made', async () => {
  const calls = harness.incoming.calls.length;
  const place = { kind: 'file', path: '/etc/x', format: 'raw', mark: 'shadow' } as const;
  const mark = `.novacron-probe-${'ab'.repeat(16)}`;
  for (const [wrong, field] of [
    [place, /images\[0\]\.mark/],
    [{ ...place, mark: `../${mark}` }, /images\[0\]\.mark/],
    [{ ...place, mark, path: 'etc/x' }, /images\[0\]\.path/],
  ] as const) {
    const asked = peer.compareImages(VM_UID, [wrong], never);
    await assert.rejects(asked, reason('INVALID_REQUEST', field));
  }
  assert.equal(harness.incoming.calls.length, calls);
});

test('a file that is not what its digest says is not prepared for', async () => {
  const other = { ...incoming, privateFiles: { 'user-data': Buffer.from('other') } };
  const request = { migrationId: MIGRATION_ID, incoming: other, transferToken: 'ab'.repeat(32) };
  await assert.rejects(peer.prepare(request, never), reason('INVALID_REQUEST', /SHA-256/));
  // To be asked whether the VM may come, no content is sent.
  await peer.check({ ...incoming, privateFiles: {} }, never);
});

test('what a node does not understand, and must, it refuses by its name', async () => {
  const calls = harness.incoming.calls.length;
  const later = { ...incoming, requiredFeatures: ['private-files', 'time-travel'] };
  const refusal = reason('PEER_INCOMPATIBLE', /^Node node-a: .*\btime-travel\b/);
  await assert.rejects(peer.check(later, never), refusal);
  const request = { migrationId: MIGRATION_ID, incoming: later, transferToken: 'ab'.repeat(32) };
  await assert.rejects(peer.prepare(request, never), refusal);
  assert.equal(harness.incoming.calls.length, calls);
});

test('handshake, report and release cross over', async () => {
  const hello = {
    protocolMin: 1,
    protocolMax: 2,
    agentVersion: '0.1.0',
    requiredFeatures: ['private-files'],
  };
  const answer = await peer.handshake(hello, never);
  assert.equal(answer.nodeName, 'node-b');
  assert.deepEqual(answer.features, ['private-files']);
  assert.deepEqual(harness.incoming.calls.at(-1)?.argument, hello);
  assert.deepEqual(await peer.get(MIGRATION_ID, VM_UID, never), harness.incoming.report);
  assert.deepEqual(await peer.release(MIGRATION_ID, VM_UID, { outcome: 'abort' }, never), {
    wireBytes: 123,
  });
  assert.deepEqual(harness.incoming.calls.at(-1)?.argument, {
    migrationId: MIGRATION_ID,
    vmUid: VM_UID,
    outcome: 'abort',
  });
});

test('progress and result cross over, with what is not known of them', async () => {
  const progress = {
    ...NO_PROGRESS,
    memoryTotalBytes: 100n,
    wireBytes: 0n,
    fractionDone: undefined,
    estimatedMsLeft: 1_500,
    channels: [{ name: 'volumes', totalBytes: 3n, processedBytes: 2n, remainingBytes: 1n }],
  };
  await peer.reportProgress(MIGRATION_ID, progress, never);
  const told = { migrationId: MIGRATION_ID, progress };
  assert.deepEqual(harness.incoming.calls.at(-1), { method: 'reportProgress', argument: told });
  const result = {
    totalMs: 2_500,
    downtimeMs: undefined,
    memoryProcessedBytes: undefined,
    wireBytes: 0n,
    iterations: 3,
    reconnects: undefined,
  };
  const end = { outcome: 'commit', result } as const;
  await peer.release(MIGRATION_ID, VM_UID, end, never);
  const released = { migrationId: MIGRATION_ID, vmUid: VM_UID, ...end };
  assert.deepEqual(harness.incoming.calls.at(-1)?.argument, released);
});

test('a VM is looked for and handed over to the node that the certificate names', async () => {
  harness.ownership.sighting = {
    presence: 'held',
    isOwner: true,
    isRunning: true,
    ownershipEpoch: 7,
  };
  assert.deepEqual(await peer.locate(VM_UID, never), {
    presence: 'held',
    isOwner: true,
    isRunning: true,
    ownershipEpoch: 7,
  });
  assert.equal(await peer.handOver(VM_UID, 4, never), 5);
  assert.deepEqual(harness.ownership.calls.splice(0), [
    { method: 'locate', argument: { vmUid: VM_UID, caller: 'node-z' } },
    { method: 'handOver', argument: { vmUid: VM_UID, ownershipEpoch: 4, caller: 'node-z' } },
  ]);
  await assert.rejects(
    peer.locate('no-uid', never),
    reason('INVALID_REQUEST', /virtualMachineUid/),
  );
  assert.deepEqual(harness.ownership.calls, []);
});

test('the nodes that are configured are those that can be asked', () => {
  assert.deepEqual(
    peers.list().map(({ nodeName }) => nodeName),
    ['node-a'],
  );
});

test("the other agent's reason comes through under its node's name", async () => {
  harness.incoming.failure = new AgentError('MIGRATION_PAST_SWITCHOVER', 'Too late');
  await assert.rejects(
    peer.release(MIGRATION_ID, VM_UID, { outcome: 'abort' }, never),
    reason('MIGRATION_PAST_SWITCHOVER', /^Node node-a: Too late$/),
  );
});

test('a node without an address is not known', () => {
  for (const name of ['node-c', 'constructor']) {
    assert.throws(() => peers.find(name, undefined), reason('PEER_UNKNOWN', /peers/));
  }
});

test('an agent whose certificate names another node is not spoken to', async () => {
  const calls = harness.incoming.calls.length;
  await assert.rejects(
    peers.find('node-b', harness.address).get(MIGRATION_ID, VM_UID, never),
    reason('PEER_UNREACHABLE', /not that of node node-b/),
  );
  assert.equal(harness.incoming.calls.length, calls);
});

test('nobody there means unreachable, with what to check', async () => {
  await assert.rejects(
    peers.find('node-d', '127.0.0.1:1').get(MIGRATION_ID, VM_UID, never),
    reason('PEER_UNREACHABLE', /node-d.*check that it runs/),
  );
});

test('an agent is reached at an address of IPv6', async () => {
  await using elsewhere = await RpcHarness.start();
  const files = await elsewhere.authority.issue('node-z', nodeNames('node-z'), never);
  await elsewhere.restart(0, '[::1]');
  using trusted = await Certificates.open(files, pino({ level: 'silent' }));
  using known = new GrpcPeers({
    addresses: { 'node-a': elsewhere.address },
    certificates: trusted,
  });
  assert.match(elsewhere.address, /^\[::1\]:\d+$/);
  assert.deepEqual(await known.find('node-a', undefined).check(incoming, never), []);
});

test('cancelling is answered at once with its own reason', async () => {
  await using stranger = await DeafServer.listen();
  const stop = new AbortController();
  const pending = peers.find('node-e', stranger.address).get(MIGRATION_ID, VM_UID, stop.signal);
  await stranger.called;
  const why = new Error('enough');
  stop.abort(why);
  await assert.rejects(pending, (error) => error === why);
});

/** Where nobody answers. */
const nobody = (at: number) => `10.255.${at >> 8}.${at & 255}:7443`;

test('whatever is planned with takes no connection from migrations under way', async () => {
  using crowded = new GrpcPeers({ addresses: { 'node-a': harness.address }, certificates });
  await using stranger = await DeafServer.listen();
  const stop = new AbortController();
  const moving = crowded.find('node-x', stranger.address).get(MIGRATION_ID, VM_UID, stop.signal);
  await stranger.called;
  // As many addresses as one likes.
  for (let at = 0; at < 1_000; at++) {
    await crowded.visit(`made-up-${at}`, nobody(at), async () => undefined);
    crowded.find(`made-up-${at}`, nobody(at));
  }
  const open = Promise.withResolvers<void>();
  const visits = Array.from({ length: 16 }, (_, at) =>
    crowded.visit('made-up', nobody(at), () => open.promise),
  );
  await assert.rejects(
    crowded.visit('made-up', nobody(16), async () => undefined),
    reason('PEER_UNREACHABLE', /16 other addresses are being tried; try again/),
  );
  // Those of the configuration are asked all the same.
  const known = await crowded.visit('node-a', undefined, (one) => one.check(incoming, never));
  assert.deepEqual(known, []);
  open.resolve();
  await Promise.all(visits);
  await crowded.visit('made-up', nobody(16), async () => undefined);

  const still = Symbol('under way');
  assert.equal(await Promise.race([moving, Promise.resolve(still)]), still);
  const why = new Error('enough');
  stop.abort(why);
  await assert.rejects(moving, (error) => error === why);
});

test('what was only asked about is let go of at once', async () => {
  await using elsewhere = await RpcHarness.start();
  const files = await elsewhere.authority.issue('node-z', nodeNames('node-z'), never);
  using trusted = await Certificates.open(files, pino({ level: 'silent' }));
  using curious = new GrpcPeers({ addresses: {}, certificates: trusted });
  await curious.visit('node-a', elsewhere.address, async (one) => {
    await one.check(incoming, never);
    assert.equal(elsewhere.server.connections, 1);
  });
  await until(() => elsewhere.server.connections === 0);
});

test('a peer that restarts is found again within the call', async () => {
  // However busy this machine is.
  const addresses = { 'node-a': harness.address };
  using patient = new GrpcPeers({ addresses, certificates, retryWindowMs: 30_000 });
  const patientPeer = patient.find('node-a', undefined);
  await patientPeer.get(MIGRATION_ID, VM_UID, never);
  const { port } = harness.server;
  await harness.server.close(0);
  let pending: ReturnType<Peer['get']>;
  {
    // Somebody who does not let it in shows when it has tried.
    await using stranger = await DeafServer.listen(port);
    pending = patientPeer.get(MIGRATION_ID, VM_UID, never);
    await stranger.called;
  }
  await harness.restart(port);
  assert.equal((await pending).state, 'prepared');
});

test('an agent is not spoken to once its certificate has expired, by no connection of before', async () => {
  await using elsewhere = await RpcHarness.start();
  const files = await elsewhere.authority.issue('node-z', nodeNames('node-z'), never);
  using trusted = await Certificates.open(files, pino({ level: 'silent' }));
  const addresses = { 'node-a': elsewhere.address };
  using known = new GrpcPeers({ addresses, certificates: trusted, retryWindowMs: 0 });
  const show = async ({ certificate, key }: Credentials) => {
    await copyFile(certificate, elsewhere.nodeFiles.certificate);
    await copyFile(key, elsewhere.nodeFiles.key);
    await elsewhere.certificates.refresh();
  };
  const other = known.find('node-a', undefined);
  // On a busy machine a short life may be over before the connection is there.
  for (let seconds = 2; ; seconds *= 2) {
    const name = `short-${seconds}`;
    await show(await issueShortLived(elsewhere.folder, name, seconds, nodeNames('node-a')));
    const first = await other.check(incoming, never).catch((error: unknown) => error);
    if (!Array.isArray(first)) continue;
    await until(async () => {
      const asked = elsewhere.incoming.calls.length;
      const failed = await other.check(incoming, never).catch((error: unknown) => error);
      if (Array.isArray(failed)) return false;
      assert.ok(hasReason(failed, 'PEER_UNREACHABLE'), String(failed));
      assert.match(failed.message, /expired/);
      assert.equal(elsewhere.incoming.calls.length, asked);
      return true;
    });
    break;
  }
  await show(await elsewhere.authority.issue('renewed', nodeNames('node-a'), never));
  await until(() =>
    other.check(incoming, never).then(
      () => true,
      () => false,
    ),
  );
});

test('after a change of our certificate the next call connects anew', async () => {
  await peer.get(MIGRATION_ID, VM_UID, never);
  const renewed = await harness.authority.issue('node-z-renewed', nodeNames('node-z'), never);
  await copyFile(renewed.certificate, certificates.files.certificate);
  await copyFile(renewed.key, certificates.files.key);
  await certificates.refresh();
  await peer.get(MIGRATION_ID, VM_UID, never);
});
