import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import type { Credentials } from '../../../lab/node/certificates.ts';
import type { IncomingVm } from '../../../src/agent/migration/migration.ts';
import { NO_PROGRESS } from '../../../src/agent/migration/progress.ts';
import { VmLocator } from '../../../src/agent/vms/vm-locator.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { RecordedCalls } from '../../compatibility/version-1/recorded-calls.ts';
import { RecordedDestination } from '../../compatibility/version-1/recorded-destination.ts';
import {
  LEAVING_UID,
  RecordedSource,
  USER_DATA,
  USER_DATA_SHA256,
} from '../../compatibility/version-1/recorded-source.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { until } from '../../fixtures/until.ts';
import { never } from '../../unit/agent/vms/one-node.ts';
import { ServedNode } from '../cli/served-node.ts';
import { LATER, LATER_STATE, newerApi } from './newer-api.ts';

/** Today's agent is node a; the peer of another version is node b. */
let served: ServedNode;
let files: Credentials;
before(async () => {
  served = await ServedNode.start();
  await served.node.inventory.refresh(never);
  const names = 'URI:spiffe://novacron/node/b,DNS:b,IP:127.0.0.1';
  files = await served.authority.issue('b', names, never);
});
after(() => served[Symbol.asyncDispose]());

const HELLO = { protocolMin: 1, protocolMax: 1, agentVersion: '9', requiredFeatures: [] };

function incoming(requiredFeatures: readonly string[] = []): IncomingVm {
  return {
    definition: tinyVm(),
    machineType: 'pc-q35-7.2',
    accelerator: 'tcg',
    memoryBytes: 64 * 1024 ** 2,
    vcpus: 1,
    cpu: 'qemu64',
    bridges: [],
    hypervisorName: 'renamed',
    privateFiles: {},
    sourceHostUuid: 'host-a',
    sourceQemuVersion: '7.2.22',
    requiredFeatures,
  };
}

const prepare = (vm: IncomingVm) => ({
  migrationId: randomUUID(),
  incoming: vm,
  transferToken: 'ab'.repeat(32),
});

const peerAt = ({ port }: RecordedDestination) => served.peers.find('b', `127.0.0.1:${port}`);

async function offerAndWithdraw(source: RecordedSource): Promise<void> {
  assert.partialDeepStrictEqual(await source.handshake(), {
    protocol: 1,
    nodeName: 'a',
    hostUuid: served.node.hypervisor.hostUuid,
    features: ['private-files', 'cloud-init'],
  });
  assert.deepEqual((await source.check())['blockers'], []);
  const transfer = await source.prepare();
  assert.equal(transfer['transferHost'], 'a.example');
  assert.deepEqual(await source.prepare(), transfer);
  assert.equal((await source.get())['state'], 'INCOMING_STATE_PREPARED');
  const { privateFiles } = served.node;
  const userData = await privateFiles.read(LEAVING_UID, 'user-data', USER_DATA_SHA256, never);
  assert.deepEqual(userData, USER_DATA);
  await source.release('INCOMING_OUTCOME_ABORT');
  assert.equal((await source.get())['state'], 'INCOMING_STATE_ABSENT');
  const { locks, capacity } = served.node;
  await until('the VM may be offered again', () => {
    const isHeld = capacity.findHolding('default', 'leaving') !== undefined;
    return !isHeld && locks.purposeOf(LEAVING_UID) === undefined;
  });
  assert.deepEqual(await privateFiles.listVms(never), []);
}

test('a source of version 1 finds its way to this agent, and back', async () => {
  using calls = RecordedCalls.remote(served.address, 'a', files);
  await offerAndWithdraw(new RecordedSource(calls, randomUUID()));
});

test('a newer source says more than this agent knows, and is understood', async () => {
  using calls = RecordedCalls.remote(served.address, 'a', files, await newerApi());
  await offerAndWithdraw(new RecordedSource(calls, randomUUID(), LATER));
});

test('a source that needs what this agent does not know is refused, and nothing is prepared', async () => {
  using calls = RecordedCalls.remote(served.address, 'a', files);
  const source = new RecordedSource(calls, randomUUID());
  const refusal = { reason: 'PEER_INCOMPATIBLE', message: /\btime-travel\b/ };
  await assert.rejects(source.handshake(['time-travel']), refusal);
  await assert.rejects(source.check(['time-travel']), refusal);
  await assert.rejects(source.prepare(['time-travel']), refusal);
  assert.equal((await source.get())['state'], 'INCOMING_STATE_ABSENT');
  assert.equal(await served.node.hypervisor.domains.find(LEAVING_UID, never), undefined);
});

test('a destination of version 1 that does not know what is needed says so', async () => {
  await using destination = await RecordedDestination.start('b', files);
  const peer = peerAt(destination);
  const later = incoming(['time-travel']);
  const refusal = { reason: 'PEER_INCOMPATIBLE', message: /^Node b: .*\btime-travel\b/ };
  await assert.rejects(
    peer.handshake({ ...HELLO, requiredFeatures: ['time-travel'] }, never),
    refusal,
  );
  await assert.rejects(peer.check(later, never), refusal);
  await assert.rejects(peer.prepare(prepare(later), never), refusal);
});

test('a destination of version 1 cannot be told how far it is, and says so', async () => {
  await using destination = await RecordedDestination.start('b', files);
  const telling = peerAt(destination).reportProgress(randomUUID(), NO_PROGRESS, never);
  await assert.rejects(telling, { reason: 'PEER_INCOMPATIBLE' });
});

test('a node of version 1 cannot be asked for a VM, and keeps none from being made', async () => {
  await using destination = await RecordedDestination.start('b', files);
  const peer = peerAt(destination);
  const uid = randomUUID();
  const refusal = { reason: 'PEER_INCOMPATIBLE', message: /^Node b does not know this call/ };
  await assert.rejects(peer.locate(uid, never), refusal);
  await assert.rejects(peer.handOver(uid, 1, never), refusal);
  const log = createLogger('silent');
  const locator = new VmLocator({ nodeName: 'a', peers: { list: () => [peer] }, log });
  const [warning] = await locator.assertNowhere({ uid, name: 'web' }, never);
  assert.match(warning ?? '', /^Node b could not be asked/);
});

test('versions of the protocol that have none in common are refused', async () => {
  await using destination = await RecordedDestination.start('b', files);
  const hello = { ...HELLO, protocolMin: 2, protocolMax: 3 };
  await assert.rejects(peerAt(destination).handshake(hello, never), {
    reason: 'PEER_INCOMPATIBLE',
  });
});

test('a newer destination says more than this agent knows, and is understood', async () => {
  const api = await newerApi();
  await using destination = await RecordedDestination.start('b', files, { api, more: LATER });
  const peer = peerAt(destination);
  const { nodeName, protocol } = await peer.handshake(HELLO, never);
  assert.deepEqual({ nodeName, protocol }, { nodeName: 'b', protocol: 1 });
  assert.deepEqual(await peer.check(incoming(), never), []);
  const request = prepare(incoming());
  const { uid } = request.incoming.definition;
  assert.deepEqual(await peer.prepare(request, never), { host: '127.0.0.1', port: 49_152 });
  assert.equal((await peer.get(request.migrationId, uid, never)).state, 'prepared');
  assert.deepEqual(await peer.release(request.migrationId, uid, { outcome: 'abort' }, never), {
    wireBytes: 123,
  });
});

test('a state that only a newer destination knows proves nothing', async () => {
  const more = { state: LATER_STATE };
  await using destination = await RecordedDestination.start('b', files, {
    api: await newerApi(),
    more,
  });
  const report = await peerAt(destination).get(randomUUID(), randomUUID(), never);
  assert.equal(report.state, 'unknown');
});
