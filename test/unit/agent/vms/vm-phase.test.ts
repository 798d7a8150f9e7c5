import assert from 'node:assert/strict';
import { test } from 'node:test';
import { phaseOf } from '../../../../src/agent/vms/vm-phase.ts';
import type {
  HypervisorVm,
  VmRunState,
  VmStateReason,
} from '../../../../src/drivers/hypervisor-domains.ts';
import { toRunState } from '../../../../src/drivers/libvirt/domain-states.ts';
import { newFakeVm, toHypervisorVm } from '../../../fakes/fake-vm.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const ALONE = { migration: undefined, shutdownRequested: false };
const LEAVING = {
  migration: { id: 'm', targetNode: 'b', startedAtMs: 0, fractionDone: 0 },
  shutdownRequested: false,
};

function vm(state: VmRunState, stateReason: VmStateReason = 'unknown'): HypervisorVm {
  return { ...toHypervisorVm(newFakeVm(tinyVm())), state, stateReason };
}

test('a VM that is leaving is migrating, whether its CPUs run or are stopped for the switchover', () => {
  assert.equal(phaseOf(vm('running'), LEAVING).phase, 'migrating');
  assert.equal(phaseOf(vm('paused', 'migration'), LEAVING).phase, 'migrating');
});

test('a running VM whose guest was asked to power off is stopping', () => {
  const asked = { migration: undefined, shutdownRequested: true };
  assert.equal(phaseOf(vm('running'), asked).phase, 'stopping');
  assert.equal(phaseOf(vm('stopped', 'shutdown'), asked).phase, 'stopped');
});

test('a VM whose hypervisor process died has failed, and one that was shut down has not', () => {
  assert.equal(phaseOf(vm('stopped', 'crashed'), ALONE).phase, 'failed');
  assert.equal(phaseOf(vm('stopped', 'destroyed'), ALONE).phase, 'stopped');
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
