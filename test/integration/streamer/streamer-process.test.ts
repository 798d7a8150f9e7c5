import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import type { TransferRequest } from '../../../src/drivers/transfers.ts';
import { openStandInNode, type StandInNode, transfersOf } from '../../fakes/stand-in-nodes.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { freeze } from '../../fixtures/process-signals.ts';
import { startAndKill } from './killed-starter.ts';

// Of all tests here together, so that one that waits in vain says for what.
const signal = AbortSignal.timeout(240_000);

function destination(): TransferRequest {
  return {
    id: randomUUID(),
    role: 'destination',
    peerName: 'spiffe://novacron/node/a',
    token: 'ab'.repeat(32),
    connect: undefined,
    bandwidthBytesPerSecond: 0,
    services: [],
  };
}

function file(node: StandInNode, id: string, name: string): string {
  return path.join(node.runDirectory, 'transfers', id, name);
}

function pidOf(node: StandInNode, id: string): number {
  return (JSON.parse(readFileSync(file(node, id, 'status.json'), 'utf8')) as { pid: number }).pid;
}

function openDescriptors(): number {
  return readdirSync('/proc/self/fd').length;
}

function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // The first thread of a process is a zombie already while others still end.
    return !/[ZX]/.test(fields[0] ?? '') || Number(fields[17]) > 1;
  } catch {
    return false;
  }
}

test('a transfer outlives a kill -9 of the process group that started it, and the next driver finds it', async () => {
  await using node = await openStandInNode();
  const id = await startAndKill(node.runDirectory, node.binary);
  const found = await node.transfers.find(id, signal);
  assert.equal(found?.state, 'listening');
  const pid = pidOf(node, id);
  assert.ok(isRunning(pid));
  assert.equal((await node.transfers.start({ ...destination(), id }, signal)).state, 'listening');
  assert.equal(pidOf(node, id), pid);
  await node.transfers.remove(id, signal);
  assert.equal(isRunning(pid), false);
  assert.deepEqual(readdirSync(path.join(node.runDirectory, 'transfers')), []);
});

test('a transfer whose process was killed is lost, also for a later driver', async () => {
  await using node = await openStandInNode();
  const { id } = await node.transfers.start(destination(), signal);
  process.kill(pidOf(node, id), 'SIGKILL');
  while (isRunning(pidOf(node, id))) await new Promise(setImmediate);
  const later = transfersOf(node.runDirectory, node.binary);
  for (const driver of [node.transfers, later]) {
    const found = await driver.find(id, signal);
    assert.equal(found?.state, 'lost');
    assert.match(found.failureMessage, /was killed by SIGKILL|is gone/);
  }
  await later.stop(id, signal);
  await later.abort(id, 'test', signal);
});

test('a program that ends at once is reported with its status and last words, and leaves nothing', async () => {
  await using node = await openStandInNode('dies');
  const request = destination();
  await assert.rejects(node.transfers.start(request, signal), {
    reason: 'STREAM_FAILED',
    message: /ended with status 3; its last words: the key cannot be read/,
  });
  assert.equal(await node.transfers.find(request.id, signal), undefined);
});

test('a program that is not there is reported and leaves nothing', async () => {
  await using node = await openStandInNode();
  const driver = transfersOf(node.runDirectory, '/nowhere/novacron-streamer');
  await assert.rejects(driver.start(destination(), signal), {
    reason: 'STREAM_FAILED',
    message: 'Cannot run the streamer /nowhere/novacron-streamer',
  });
  assert.deepEqual(await driver.list(signal), []);
});

test('a status that cannot be read makes a transfer lost, and removing it still ends its process', async () => {
  await using node = await openStandInNode();
  const { id } = await node.transfers.start(destination(), signal);
  const pid = pidOf(node, id);
  writeFileSync(file(node, id, 'status.json'), '{"version": 1, "sta');
  const later = transfersOf(node.runDirectory, node.binary);
  assert.equal((await later.find(id, signal))?.state, 'lost');
  assert.equal((await later.list(signal)).length, 1);
  await later.remove(id, signal);
  assert.equal(isRunning(pid), false);
});

test('a process that only has the pid of a transfer is never touched', async () => {
  await using node = await openStandInNode();
  const { id } = await node.transfers.start(destination(), signal);
  const statusFile = file(node, id, 'status.json');
  const status = JSON.parse(readFileSync(statusFile, 'utf8')) as Readonly<Record<string, unknown>>;
  await node.transfers.stop(id, signal);
  await using bystander = new OwnedProcess(spawn('sleep', ['60'], { stdio: 'ignore' }));
  writeFileSync(statusFile, JSON.stringify({ ...status, pid: bystander.pid }));
  const later = transfersOf(node.runDirectory, node.binary);
  assert.equal((await later.find(id, signal))?.state, 'lost');
  await later.remove(id, signal);
  assert.ok(isRunning(bystander.pid));
});

test('a start that was cut off before the process existed is begun again', async () => {
  await using node = await openStandInNode();
  const request = destination();
  mkdirSync(path.dirname(file(node, request.id, 'x')), { recursive: true });
  assert.equal((await node.transfers.find(request.id, signal))?.state, 'lost');
  assert.equal((await node.transfers.start(request, signal)).state, 'listening');
});

test('a process that has not spoken yet is found by its arguments and is starting', async () => {
  await using node = await openStandInNode('silent');
  const request = destination();
  const stop = new AbortController();
  const started = node.transfers.start(request, stop.signal);
  const failed = assert.rejects(started, { message: 'enough' });
  const ended = new AbortController();
  void started.catch(() => undefined).finally(() => ended.abort());
  const later = transfersOf(node.runDirectory, node.binary);
  while (!ended.signal.aborted) {
    if ((await later.find(request.id, signal))?.state === 'starting') break;
  }
  stop.abort(new Error('enough'));
  await failed;
  assert.equal(await later.find(request.id, signal), undefined);
});

test('a refusal on the control socket is told, and an abort kills what does not obey', async () => {
  await using node = await openStandInNode('refuses-control');
  const { id } = await node.transfers.start(destination(), signal);
  await assert.rejects(node.transfers.setBandwidth(id, 1, signal), {
    reason: 'STREAM_FAILED',
    message: `Transfer ${id} refused setBandwidth: not now`,
    metadata: { migrationId: id, code: 'BUSY' },
  });
  await assert.rejects(node.transfers.stop(id, signal), { reason: 'STREAM_FAILED' });
  assert.equal((await node.transfers.find(id, signal))?.state, 'listening');
  await node.transfers.abort(id, 'test', signal);
  assert.equal(isRunning(pidOf(node, id)), false);
});

test('the config with the token is for root only, and the directory cannot be listed by others', async () => {
  await using node = await openStandInNode();
  const { id } = await node.transfers.start(destination(), signal);
  assert.equal(statSync(file(node, id, 'config.json')).mode & 0o777, 0o600);
  assert.equal(statSync(file(node, id, 'streamer.log')).mode & 0o777, 0o600);
  assert.equal(statSync(path.dirname(file(node, id, 'x'))).mode & 0o777, 0o711);
});

test('transfers come and go without leaving descriptors behind', async () => {
  await using node = await openStandInNode();
  const cycle = async () => {
    const { id } = await node.transfers.start(destination(), signal);
    await node.transfers.list(signal);
    await node.transfers.remove(id, signal);
  };
  await cycle();
  const before = openDescriptors();
  for (let round = 0; round < 5; round++) await cycle();
  assert.ok(openDescriptors() <= before, `${openDescriptors()} descriptors, ${before} before`);
});

test('a process that hangs does not make a list wait for it, and an abort ends it', async () => {
  await using node = await openStandInNode();
  const { id } = await node.transfers.start(destination(), signal);
  const pid = pidOf(node, id);
  // Nothing wakes it before the list is there.
  using _stopped = freeze(pid);
  const [listed] = await node.transfers.list(signal);
  assert.equal(listed?.state, 'listening');
  await node.transfers.abort(id, 'test', signal);
  assert.equal(isRunning(pid), false);
});
