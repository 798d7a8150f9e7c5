import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunBook } from '../../../../src/agent/runs/run-book.ts';
import { RunStore } from '../../../../src/agent/runs/run-store.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { VmRunState, VmStateReason } from '../../../../src/drivers/hypervisor-domains.ts';
import { newFakeVm, toHypervisorVm } from '../../../fakes/fake-vm.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { until } from '../../../fixtures/until.ts';
import { never, OneNode, refOf } from '../vms/one-node.ts';
import { ask, reasonOf, runOf, untilRunning, untilWritten, withVm } from './controlled-node.ts';

const VM = tinyVm({ createdAtMs: 1 });

function seen(state: VmRunState, stateReason: VmStateReason = 'unknown') {
  return { ...toHypervisorVm(newFakeVm(VM)), state, stateReason };
}

async function openBook(journal: MemoryJournal, bootId = 'boot') {
  return RunBook.load({
    store: new RunStore(journal.database),
    bootId,
    requests: { behind: () => undefined },
    nodeShutdownBy: () => undefined,
  });
}

test('a run is written when it begins and when it ends, and no look in between', async (t) => {
  const put = t.mock.method(RunStore.prototype, 'put');
  const { node, ref, uid } = await withVm('Manual');
  await using _node = node;
  await untilWritten(node, uid, 'off');
  await ask(node, 'start', ref);
  await untilWritten(node, uid, 'on');
  for (let looks = 0; looks < 10; looks += 1) await node.inventory.refresh(never);
  assert.equal(put.mock.callCount(), 2);
  node.hypervisor.stopGuest(uid);
  await untilWritten(node, uid, 'off');
  for (let looks = 0; looks < 10; looks += 1) await node.inventory.refresh(never);
  assert.equal(put.mock.callCount(), 3);
});

test('what is known of a VM is forgotten when it is deleted, also by somebody else while no agent runs', async () => {
  const { node: before, ref, uid } = await withVm('Once');
  await untilWritten(before, uid, 'on');
  const left = await before.leave();
  left.hypervisor.stopGuest(uid);
  await left.hypervisor.domains.undefine(uid, never);
  const next = await OneNode.open(left);
  next.agent.run();
  await until('it is forgotten', () => runOf(next, uid) === undefined);
  await next[Symbol.asyncDispose]();

  const { node, ref: again, uid: other } = await withVm('Once');
  await using _node = node;
  assert.notEqual(again, ref);
  await untilWritten(node, other, 'on');
  await node.vms.delete(again, { force: true }, never);
  await until('it is forgotten', () => runOf(node, other) === undefined);
});

test('a VM of the uid of one that was deleted begins anew', async () => {
  const { node, request, ref, uid } = await withVm('Once');
  await using _node = node;
  await ask(node, 'destroy', ref);
  await node.vms.delete(ref, { force: false }, never);
  await node.create({ ...request, spec: { ...request.spec, runStrategy: 'Manual' } });
  assert.equal(await reasonOf(node, refOf(request)), 'NeverStarted');
  await untilWritten(node, uid, 'off');
});

test('a journal that cannot be written keeps no VM from being told of and started, and is written later', async () => {
  const { node, uid } = await withVm('Always');
  await using _node = node;
  await untilWritten(node, uid, 'on');
  const { database } = node.journal;
  const run = database.run.bind(database);
  database.run = (sql, parameters) =>
    sql.includes('INTO run ')
      ? Promise.reject(new AgentError('STORAGE_FULL', 'full'))
      : run(sql, parameters);
  node.hypervisor.stopGuest(uid, 'crashed');
  await until('it is started again', () => {
    return node.hypervisor.calls.filter((call) => call === `start ${uid}`).length === 2;
  });
  await untilRunning(node, uid);
  assert.equal(runOf(node, uid)?.['end_cause'], null);
  database.run = run;
  await until('it is written', () => runOf(node, uid)?.['end_cause'] === 'crashed');
});

test('libvirt may tell of a signal before, or a little after, what came of it is seen', async () => {
  for (const isLate of [false, true]) {
    using journal = new MemoryJournal();
    const book = await openBook(journal);
    book.observe(seen('running', 'booted'), VM);
    if (!isLate) book.noteTerminated(VM.uid);
    book.observe(seen('stopped', 'shutdown'), VM);
    if (isLate) book.noteTerminated(VM.uid);
    assert.equal(book.find(VM.uid)?.end?.cause, 'terminated');
    // It is about that run alone.
    book.observe(seen('running', 'booted'), VM);
    book.observe(seen('stopped', 'shutdown'), VM);
    assert.equal(book.find(VM.uid)?.end?.cause, 'guest-shutdown');
  }
});

test('a power cut, of which libvirt tells as of a signal, is none', async () => {
  using journal = new MemoryJournal();
  const book = await openBook(journal);
  book.observe(seen('running', 'booted'), VM);
  book.noteTerminated(VM.uid);
  book.observe(seen('stopped', 'destroyed'), VM);
  book.noteTerminated(VM.uid);
  assert.equal(book.find(VM.uid)?.end?.cause, 'destroyed-by-other');
});

test('while the hypervisor does not know a state nothing is concluded from it', async () => {
  using journal = new MemoryJournal();
  const book = await openBook(journal);
  book.observe(seen('running', 'booted'), VM);
  const before = book.find(VM.uid);
  book.observe(seen('unknown'), VM);
  assert.equal(book.find(VM.uid), before);
});

test('a start that libvirt did not survive was no run', async () => {
  using journal = new MemoryJournal();
  const book = await openBook(journal);
  book.observe(seen('stopped'), VM);
  const before = book.find(VM.uid);
  book.observe(seen('paused', 'starting-up'), VM);
  assert.equal(book.find(VM.uid), before);
  book.observe(seen('stopped'), VM);
  assert.equal(book.find(VM.uid), before);
  book.observe(seen('stopped', 'daemon-restarted'), VM);
  assert.equal(book.find(VM.uid)?.end?.cause, 'daemon-restarted');
});

test('a VM that runs when its node has booted again has ended once in between', async () => {
  using journal = new MemoryJournal();
  const before = await openBook(journal);
  before.observe(seen('running', 'booted'), VM);
  await before.write(VM.uid);
  const after = await openBook(journal, 'another boot');
  after.observe(seen('running', 'booted'), VM);
  const { isOn, bootId, end } = after.find(VM.uid) ?? {};
  assert.deepEqual([isOn, bootId, end?.cause], [true, 'another boot', 'node-rebooted']);
  assert.ok(after.isUnwritten(VM.uid));
});

test('a cause that only a later version knows is none that this one makes up', async () => {
  using journal = new MemoryJournal();
  const before = await openBook(journal);
  before.observe(seen('stopped', 'crashed'), VM);
  await before.write(VM.uid);
  await journal.database.run("UPDATE run SET end_cause = 'struck-by-lightning'");
  const after = await openBook(journal);
  assert.equal(after.find(VM.uid)?.end?.cause, 'no-record');
});
