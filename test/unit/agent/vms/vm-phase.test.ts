import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { RunEndCause } from '../../../../src/agent/runs/run-ends.ts';
import type { RunRecord } from '../../../../src/agent/runs/run-record.ts';
import { phaseOf } from '../../../../src/agent/vms/vm-phase.ts';
import type {
  HypervisorVm,
  VmRunState,
  VmStateReason,
} from '../../../../src/drivers/hypervisor-domains.ts';
import { toRunState } from '../../../../src/drivers/libvirt/domain-states.ts';
import { newFakeVm, toHypervisorVm } from '../../../fakes/fake-vm.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { runEnded, vmContext } from './vm-context.ts';

const ALONE = vmContext();
const LEAVING = vmContext({
  migration: {
    id: 'm',
    targetNode: 'b',
    startedAtMs: 0,
    fractionDone: 0,
    waitsFor: '',
    isQueued: false,
  },
});

function vm(state: VmRunState, stateReason: VmStateReason = 'unknown'): HypervisorVm {
  return { ...toHypervisorVm(newFakeVm(tinyVm())), state, stateReason };
}

test('a VM that is leaving is migrating, whether its CPUs run or are stopped for the switchover', () => {
  assert.equal(phaseOf(vm('running'), LEAVING).phase, 'migrating');
  assert.equal(phaseOf(vm('paused', 'migration'), LEAVING).phase, 'migrating');
});

test('a running VM whose guest was asked to power off is stopping', () => {
  const asked = vmContext({ isShuttingDown: true });
  assert.equal(phaseOf(vm('running'), asked).phase, 'stopping');
  assert.equal(phaseOf(vm('stopped', 'shutdown'), asked).phase, 'stopped');
});

test('a VM whose hypervisor process died has failed, and one that was shut down has not', () => {
  const phases = (['crashed', 'destroyed'] as const).map(
    (cause) => phaseOf(vm('stopped'), vmContext({ run: runEnded(cause) })).phase,
  );
  assert.deepEqual(phases, ['failed', 'stopped']);
});

test('a VM that was paused by a disk error says what to do', () => {
  const report = phaseOf(vm('paused', 'io-error'), ALONE);
  assert.equal(report.reason, 'IoError');
  assert.match(report.message, /storage/);
});

test('what the hypervisor does not know is unknown, never stopped', () => {
  assert.equal(phaseOf(vm('unknown'), ALONE).phase, 'unknown');
});

test('of a VM whose memory is on two nodes each node says so, and that it must be left alone', () => {
  for (const state of ['running', 'paused'] as const) {
    const goesOn = phaseOf(vm(state, 'postcopy'), ALONE);
    assert.deepEqual([goesOn.phase, goesOn.reason], [state, 'PostCopy']);
    assert.match(goesOn.message, /leave/);
    const broken = phaseOf(vm(state, 'postcopy-failed'), ALONE);
    assert.deepEqual([broken.phase, broken.reason], [state, 'PostCopyFailed']);
    assert.match(broken.message, /mend the link/);
  }
});

test('why a VM is off is told from what is known of its runs, with where to look and when', () => {
  const after = (cause: RunEndCause, by = '') =>
    phaseOf(
      { ...vm('stopped'), hypervisorName: 'shop_web' },
      vmContext({ run: runEnded(cause, by) }),
    );
  assert.deepEqual(after('shutdown', 'unix:root'), {
    phase: 'stopped',
    reason: 'Shutdown',
    message: 'Its guest powered off as unix:root wanted it to (2026-01-02T12:00:00Z)',
  });
  assert.match(
    after('shutdown').message,
    /^Its guest powered off as a caller of this agent wanted/,
  );
  assert.match(after('crashed').message, /\/var\/log\/libvirt\/qemu\/shop_web\.log/);
  assert.equal(after('never-started').message, 'It has not been started yet');
  assert.equal(phaseOf(vm('crashed'), ALONE).reason, 'GuestCrashed');
});

test('a VM that runs though the last that was asked for is that it be off says why', () => {
  const on: RunRecord = { uid: 'u', bootId: 'boot', isOn: true, sinceMs: 1, end: undefined };
  const running = (intent: 'on' | 'off', context: Parameters<typeof vmContext>[0] = {}) => {
    const found = { ...vm('running', 'booted'), definition: tinyVm({ intent }) };
    return phaseOf(found, vmContext({ run: on, ...context })).reason;
  };
  assert.equal(running('on'), 'Booted');
  assert.equal(running('off'), 'StartedByOther');
  // Who has started it nobody can know.
  assert.equal(running('off', { run: { ...on, sinceMs: 0 } }), 'GuestDidNotStop');
  assert.equal(running('off', { ignoresShutdown: true }), 'GuestDidNotStop');
  assert.equal(running('off', { isBusy: true }), 'Booted');
  const arrived = { ...vm('running', 'migrated'), definition: tinyVm({ intent: 'off' }) };
  assert.equal(phaseOf(arrived, ALONE).reason, 'GuestDidNotStop');
  // What it suffers from comes first.
  const split = { ...vm('running', 'postcopy-failed'), definition: tinyVm({ intent: 'off' }) };
  assert.equal(phaseOf(split, ALONE).reason, 'PostCopyFailed');
});

test('whatever libvirt knows of a VM has a word, and a VM that stands still says why', () => {
  for (let state = 0; state < 8; state += 1) {
    for (let number = 0; number < 16; number += 1) {
      const seen = toRunState(state, number);
      if (seen.reason === 'unknown') continue;
      const { reason, message } = phaseOf(vm(seen.state, seen.reason), ALONE);
      assert.match(reason, /^([A-Z][a-z]*)+$/, `${seen.state} ${seen.reason}`);
      if (seen.state === 'paused') assert.notEqual(message, '', seen.reason);
    }
  }
});
