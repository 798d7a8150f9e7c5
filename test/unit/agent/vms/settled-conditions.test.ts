import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SettledConditions } from '../../../../src/agent/vms/settled-conditions.ts';
import { type ConditionFacts, conditionsOf } from '../../../../src/agent/vms/vm-conditions.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { vmContext } from './vm-context.ts';

const FOR_RESTART = { waitsFor: 'restart', sinceMs: undefined, problem: undefined } as const;

function facts(changes: Partial<ConditionFacts> = {}): ConditionFacts {
  return {
    isRead: true,
    definition: VM,
    state: { phase: 'running', reason: 'Booted', message: '' },
    context: vmContext(),
    pendingChanges: [],
    drift: [],
    isStray: false,
    hasDiskLeases: false,
    guestAgent: 'disconnected',
    ...changes,
  };
}

const VM = tinyVm({ generation: 3 });
const PROBLEM = { reason: 'IMAGE_NOT_FOUND', message: 'There is no image' } as const;
const MIGRATION = {
  id: 'm-7',
  targetNode: 'b',
  startedAtMs: 1,
  fractionDone: 0.5,
  waitsFor: '',
  isQueued: false,
};

test('of the same facts, found anew, they stay the same', () => {
  const settled = new SettledConditions();
  const first = settled.of(facts(), []);
  assert.equal(settled.of(facts(), first), first);
  assert.equal(settled.of(facts(), first), first);
});

test('whatever of the facts changes is told', () => {
  const off = { phase: 'stopped', reason: 'NeverStarted', message: '' } as const;
  const changes: readonly Partial<ConditionFacts>[] = [
    { isRead: false },
    { definition: tinyVm({ generation: 4 }) },
    { state: off },
    { state: { phase: 'running', reason: 'Unpaused', message: '' } },
    {
      pendingChanges: [
        { field: 'spec.template.spec.firmware', live: 1, wanted: 2, ...FOR_RESTART },
      ],
    },
    { drift: ['cpu'] },
    { diskDifference: { attached: ['vdb'], detached: [] } },
    { isStray: true },
    { guestAgent: 'connected' },
    { guestAgent: undefined },
    { context: vmContext({ migration: MIGRATION }) },
    { state: off, context: vmContext({ startProblem: PROBLEM }) },
  ];
  for (const change of changes) {
    const settled = new SettledConditions();
    const first = settled.of(facts(), []);
    const told = settled.of(facts(change), first).map(withoutTime);
    assert.deepEqual(told, conditionsOf(facts(change), first).map(withoutTime));
    assert.notDeepEqual(told, first.map(withoutTime), JSON.stringify(change));
  }
});

test('what time alone makes worse is told as well', (t) => {
  const settled = new SettledConditions();
  const drifted = facts({ drift: ['cpu'] });
  const first = settled.of(drifted, []);
  assert.equal(statusOf(first, 'Degraded'), 'false');
  const laterMs = Date.now() + 120_000;
  t.mock.method(Date, 'now', () => laterMs);
  assert.equal(statusOf(settled.of(drifted, first), 'Degraded'), 'true');
});

function statusOf(conditions: ReturnType<typeof conditionsOf>, wanted: string) {
  return conditions.find(({ type }) => type === wanted)?.status;
}

function withoutTime({ type, status, reason, message, observedGeneration }: Told) {
  return { type, status, reason, message, observedGeneration };
}

type Told = ReturnType<typeof conditionsOf>[number];
