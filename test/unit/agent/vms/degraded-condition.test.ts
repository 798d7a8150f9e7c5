import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { Condition } from '../../../../src/agent/reports/report.ts';
import type { RestartReport } from '../../../../src/agent/runs/restart-report.ts';
import { type ConditionFacts, conditionsOf } from '../../../../src/agent/vms/vm-conditions.ts';
import type { PhaseReport } from '../../../../src/agent/vms/vm-phase.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { runEnded, vmContext } from './vm-context.ts';

const RESTART: RestartReport = {
  attempts: 0,
  failedStarts: 0,
  nextStartMs: undefined,
  lastFailure: '',
  lack: undefined,
};
const OFF: PhaseReport = { phase: 'stopped', reason: 'GuestShutdown', message: 'Off' };

function facts(changes: Partial<ConditionFacts> = {}): ConditionFacts {
  return {
    isRead: true,
    definition: tinyVm(),
    state: { phase: 'running', reason: 'Booted', message: '' },
    context: vmContext(),
    pendingChanges: [],
    drift: [],
    isStray: false,
    hasDiskLeases: false,
    ...changes,
  };
}

function find(given: ConditionFacts, type: string, previous: readonly Condition[] = []): Condition {
  const found = conditionsOf(given, previous).find((condition) => condition.type === type);
  assert.ok(found !== undefined, type);
  return found;
}

/** All reasons for which a VM of these tests asked for an operator. */
const SEEN = new Set<string>();

const degraded = (given: ConditionFacts, previous: readonly Condition[] = []): string => {
  const { status, reason } = find(given, 'Degraded', previous);
  if (status === 'true') SEEN.add(reason);
  return `${status} ${reason}`;
};

const paused = (reason: string): ConditionFacts =>
  facts({ state: { phase: 'paused', reason, message: 'Why' } });

const restarting = (restart: Partial<RestartReport>, state?: PhaseReport) =>
  facts({
    context: vmContext({ restart: { ...RESTART, ...restart } }),
    ...(state === undefined ? {} : { state }),
  });

test('a VM that runs or is off as it should be asks for nobody', () => {
  assert.equal(degraded(facts()), 'false Well');
  assert.equal(degraded(facts({ state: OFF })), 'false Well');
  assert.equal(degraded(paused('Suspended')), 'false Well');
});

test('a VM that would stop again as soon as it went on asks for an operator', () => {
  for (const reason of ['NoSpace', 'IoError', 'Watchdog', 'GuestCrashed', 'ApiError']) {
    assert.equal(degraded(paused(reason)), `true ${reason}`);
    assert.equal(find(paused(reason), 'Degraded').message, 'Why');
  }
  assert.equal(degraded(paused('PostCopyFailed')), 'true PostCopyFailed');
});

test('a VM that has failed asks for an operator only if nothing else starts it', () => {
  const state = { phase: 'failed', reason: 'Crashed', message: 'Why' } as const;
  const context = vmContext({ run: runEnded('crashed') });
  const crashed = (runStrategy: 'Always' | 'Once') => {
    const definition = tinyVm();
    const wanted = { ...definition, intent: 'on' as const };
    return facts({
      state,
      context,
      definition: { ...wanted, spec: { ...definition.spec, runStrategy } },
    });
  };
  assert.equal(degraded(crashed('Once')), 'true Crashed');
  const terminated = { ...state, reason: 'Terminated' };
  assert.equal(degraded(facts({ state: terminated })), 'true Terminated');
  assert.equal(degraded(crashed('Always')), 'false Well');
});

test('a VM that is started again and again asks for an operator, on or off, and one that was once does not', () => {
  assert.equal(degraded(restarting({ attempts: 1 }, OFF)), 'false Well');
  assert.equal(degraded(restarting({ attempts: 2 }, OFF)), 'true BackOff');
  assert.equal(degraded(restarting({ attempts: 2 })), 'true BackOff');
  const failed = restarting({ attempts: 1, failedStarts: 1, lastFailure: 'no disk' }, OFF);
  assert.equal(degraded(failed), 'true BackOff');
  assert.match(find(failed, 'Degraded').message, /1 start failed in a row: no disk/);
});

test('a VM that runs though it shall not, or is a copy of another node, asks for an operator', () => {
  for (const reason of ['GuestDidNotStop', 'StartedByOther']) {
    const state = { phase: 'running', reason, message: 'Why' } as const;
    assert.equal(degraded(facts({ state })), `true ${reason}`);
  }
  const state = { phase: 'failed', reason: 'StaleCopy', message: 'Why' } as const;
  assert.equal(degraded(facts({ state })), 'true StaleCopy');
});

test('what somebody has changed asks for an operator if it is left as it is, or cannot be put back', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000_000 });
  assert.equal(degraded(facts({ drift: ['volumes'] })), 'true DisksChanged');
  const diskDifference = { attached: ['vdb'], detached: [] };
  assert.equal(degraded(facts({ diskDifference })), 'true OtherDisks');
  const drifted = facts({ drift: ['memory'] });
  const before = conditionsOf(drifted, []);
  assert.equal(degraded(drifted), 'false Well');
  t.mock.timers.setTime(1_061_000);
  assert.equal(degraded(drifted, before), 'true DriftNotRepaired');
});

test('a VM that could not be started, or that may be on another node, asks for an operator', () => {
  const startProblem = { reason: 'IMAGE_NOT_FOUND', message: 'There is no such file' } as const;
  const off = facts({ state: OFF, context: vmContext({ startProblem }) });
  assert.equal(degraded(off), 'true NotStartable');
  assert.match(find(off, 'Degraded').message, /There is no such file/);
  assert.equal(degraded(facts({ isStray: true })), 'true StrayCopy');
  const unconfirmed = { fromNode: 'b', migrationId: 'm' };
  const of = (more: object) =>
    facts({ context: vmContext({ unconfirmed: { ...unconfirmed, ...more } }) });
  // The other node says so within moments.
  assert.equal(degraded(of({})), 'false Well');
  assert.equal(degraded(of({ isForgotten: true })), 'true OwnershipUncertain');
  assert.equal(degraded(of({ migrationId: '' })), 'true OwnershipUncertain');
});

test('a VM that is not understood asks for an operator, and of one that nobody can ask nothing is known', () => {
  const newer = { manifest: '{}', unknownFields: ['spec.later'] };
  assert.equal(degraded(facts({ definition: tinyVm({ newer }) })), 'true NewerSpec');
  const damaged = { ...newer, isDamaged: true as const };
  assert.equal(degraded(facts({ definition: tinyVm({ newer: damaged }) })), 'true DamagedSpec');
  const unread = { phase: 'unknown', reason: 'NotRead', message: 'Why' } as const;
  assert.equal(degraded(facts({ isRead: false, state: unread })), 'true NotRead');
  const away = { phase: 'unknown', reason: 'HypervisorUnreachable', message: 'Why' } as const;
  assert.equal(degraded(facts({ state: away })), 'unknown HypervisorUnreachable');
  assert.equal(find(facts({ state: away }), 'Paused').status, 'unknown');
});

test('all that is wrong is told, the gravest first', () => {
  const startProblem = { reason: 'IMAGE_NOT_FOUND', message: 'No file' } as const;
  const context = vmContext({ startProblem });
  const given = facts({ state: OFF, context, drift: ['volumes'] });
  const { reason, message } = find(given, 'Degraded');
  assert.equal(reason, 'DisksChanged');
  assert.match(message, /disks.*\. It cannot be started: No file$/s);
});

test('a VM is paused while it is on and stands still, and says why', () => {
  const { status, reason, message } = find(paused('NoSpace'), 'Paused');
  assert.deepEqual([status, reason, message], ['true', 'NoSpace', 'Why']);
  assert.equal(find(facts(), 'Paused').status, 'false');
  const switching = { phase: 'migrating', reason: 'SwitchingOver', message: 'Why' } as const;
  assert.equal(find(facts({ state: switching }), 'Paused').reason, 'Migration');
  assert.equal(find(facts({ state: OFF }), 'Paused').status, 'false');
});

test('docs/api.md has every reason for which a VM asks for an operator, and no other', () => {
  const [, text = ''] = readFileSync('docs/api.md', 'utf8').split('\nThe reasons of `Degraded`');
  const [table = ''] = text.split('\nWhile nobody can ask');
  const rows = table.split('\n').filter((line) => line.startsWith('| `'));
  const documented = rows.flatMap((row) => row.split('|')[1]?.match(/\w+/g) ?? []);
  assert.deepEqual(documented.toSorted(), [...SEEN].toSorted());
});
