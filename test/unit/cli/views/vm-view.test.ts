import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toVirtualMachine } from '../../../../src/agent/rpc/virtual-machine-conversion.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { printList } from '../../../../src/cli/output/output.ts';
import type { OutputFormat } from '../../../../src/cli/output/output-format.ts';
import { vmDetailsText } from '../../../../src/cli/views/vm-details.ts';
import { vmDocument, vmView } from '../../../../src/cli/views/vm-view.ts';
import { FakeCliIo, FakeOutput } from '../../../fakes/fake-cli-io.ts';
import { makeVm } from '../../../fakes/fake-vm-service.ts';

const NOON_MS = Date.UTC(2026, 0, 2, 12);
const RESTART = {
  attempts: 0,
  failedStarts: 0,
  nextStartMs: NOON_MS,
  lastFailure: '',
  lack: undefined,
};

const documentOf = (changes: Partial<Vm>) => vmDocument(toVirtualMachine(makeVm('web', changes)));

const valueOf = (header: string, changes: Partial<Vm>) =>
  vmView({ nowMs: 0, showNamespace: false })
    .columns.find((column) => column.header === header)
    ?.value(documentOf(changes));

test('the list says whether a VM can be moved, or why not', () => {
  const condition = {
    type: 'LiveMigratable',
    message: '',
    lastTransitionAtMs: 0,
    observedGeneration: 1,
  };
  const said = (status: 'true' | 'false' | 'unknown', reason: string) =>
    valueOf('MIGRATABLE', { conditions: [{ ...condition, status, reason }] });
  assert.equal(said('true', 'Migratable'), 'yes');
  assert.equal(said('false', 'DiskLocal'), 'no (DiskLocal)');
  assert.equal(said('unknown', ''), '');
  assert.equal(valueOf('MIGRATABLE', { conditions: [] }), '');
});

test('the list says why a VM is in its phase', () => {
  assert.equal(valueOf('PHASE', { phase: 'failed', reason: 'Crashed' }), 'Failed');
  assert.equal(valueOf('REASON', { phase: 'failed', reason: 'Crashed' }), 'Crashed');
});

function startsAgain(restart: Partial<typeof RESTART> | undefined): string | undefined {
  return valueOf('STARTS AGAIN', { restart: restart && { ...RESTART, ...restart } });
}

test('the wide list says when a VM is started again, and what has come of the starts before', () => {
  assert.equal(startsAgain(undefined), '');
  assert.equal(startsAgain({}), '12:00:00Z');
  assert.equal(startsAgain({ attempts: 3, failedStarts: 3 }), '12:00:00Z, 3 failed');
  assert.equal(startsAgain({ attempts: 3, failedStarts: 1 }), '12:00:00Z, 1 failed, 2 ended early');
});

test('a VM is shown with why it is what it is, and with its conditions', () => {
  const condition = {
    type: 'RunStrategyFulfilled',
    status: 'false',
    reason: 'WaitsToRestart',
    message: 'Starts again at 12:04:05Z',
    lastTransitionAtMs: NOON_MS,
    observedGeneration: 1,
  } as const;
  const changes = { phase: 'failed', reason: 'Crashed', message: 'Read its log' } as const;
  const text = vmDetailsText(documentOf({ ...changes, conditions: [condition] }), NOON_MS + 90_000);
  const lines = text.split('\n').map((line) => line.split(/ {2,}/));
  assert.deepEqual(lines[1], ['Failed: Crashed: Read its log']);
  assert.deepEqual(lines[4], [
    'RunStrategyFulfilled',
    'False',
    '1m30s',
    'WaitsToRestart',
    'Starts again at 12:04:05Z',
  ]);
  assert.ok(!vmDetailsText(documentOf({}), 0).includes(': '));
});

test('what is told of restarts is part of the document', () => {
  const restart = { ...RESTART, attempts: 2, failedStarts: 1, lastFailure: 'no' };
  assert.deepEqual(documentOf({ restart }).status?.restart, {
    attempts: 2,
    failedStarts: 1,
    nextStartTime: '2026-01-02T12:00:00.000Z',
    lastFailure: 'no',
  });
});

const uptime = (changes: Partial<Vm>) =>
  vmView({ nowMs: NOON_MS + 250_000, showNamespace: false })
    .columns.find(({ header }) => header === 'UPTIME')
    ?.value(documentOf(changes));

test('the list says for how long a VM has been on, where that is known', () => {
  const runningSinceMs = NOON_MS;
  assert.equal(uptime({ phase: 'running', runningSinceMs }), '4m10s');
  assert.equal(uptime({ phase: 'paused', runningSinceMs }), '4m10s');
  assert.equal(uptime({ phase: 'unknown', runningSinceMs }), '');
  assert.equal(uptime({ phase: 'running' }), '');
});

/** The list of one VM as a person sees it, or a program. */
async function listed(
  name: string,
  format: OutputFormat,
  columns: number | undefined,
): Promise<string> {
  const stdout = new FakeOutput({ isTTY: columns !== undefined });
  stdout.columns = columns ?? 80;
  const io = Object.assign(new FakeCliIo(), { stdout });
  const vm = vmDocument(
    toVirtualMachine(makeVm(name, { phase: 'running', runningSinceMs: NOON_MS })),
  );
  await printList(io, format, vmView({ nowMs: NOON_MS, showNamespace: true }), [vm], 'none');
  return stdout.text;
}

const headersOf = (text: string) => (text.split('\n')[0] ?? '').split(/ {3,}/);
const longest = (text: string) => Math.max(...text.split('\n').map((line) => line.length));

test('a list fits the terminal, with the name and what is wrong to the last; programs get all of it', async () => {
  const all = headersOf(await listed('web', 'table', undefined));
  assert.deepEqual(all.slice(0, 5), ['NAMESPACE', 'NAME', 'PHASE', 'REASON', 'NODE']);
  assert.ok(['ADDRESSES', 'MIGRATABLE', 'UPTIME', 'AGE'].every((header) => all.includes(header)));
  assert.deepEqual(headersOf(await listed('web', 'table', 200)), all);

  const narrow = await listed('web', 'table', 80);
  assert.ok(longest(narrow) <= 80, narrow);
  for (const header of ['NAME', 'PHASE', 'REASON', 'NODE', 'MIGRATABLE']) {
    assert.ok(headersOf(narrow).includes(header), header);
  }
  // A name is never cut, as it is what commands take.
  const long = 'a'.repeat(63);
  assert.match(await listed(long, 'table', 80), new RegExp(`^default {3,}${long} `, 'm'));
  const wide = headersOf(await listed('web', 'wide', 80));
  assert.ok(all.every((header) => wide.includes(header)) && wide.includes('UID'));
  assert.equal(await listed(long, 'name', 80), `default/${long}\n`);
  assert.match(await listed('web', 'yaml', 80), /runningSince: "?2026-01-02T12:00:00/);
});
