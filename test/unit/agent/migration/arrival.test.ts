import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arrivalOf, holdsSource } from '../../../../src/agent/migration/arrivals.ts';
import type {
  HypervisorVm,
  VmRunState,
  VmStateReason,
} from '../../../../src/drivers/hypervisor-domains.ts';
import { newFakeVm, toHypervisorVm } from '../../../fakes/fake-vm.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const EPOCH = 4;

function vm(
  state: VmRunState,
  stateReason: VmStateReason,
  changes: Partial<HypervisorVm> = {},
): HypervisorVm {
  const seen = toHypervisorVm(newFakeVm(tinyVm({ ownershipEpoch: EPOCH })));
  return { ...seen, state, stateReason, ...changes };
}

test('a VM that is not persistent has not arrived, whatever it seems to do', () => {
  for (const [state, reason] of [
    ['running', 'migrated'],
    ['paused', 'migration'],
    ['stopped', 'crashed'],
    ['stopped', 'destroyed'],
    ['stopped', 'unknown'],
    ['crashed', 'crashed'],
  ] as const) {
    assert.equal(arrivalOf(vm(state, reason, { persistent: false }), EPOCH), 'receiving', state);
  }
});

test('a VM that waits to be let run has not arrived', () => {
  assert.equal(arrivalOf(vm('paused', 'migration'), EPOCH), 'receiving');
  assert.equal(arrivalOf(vm('paused', 'starting-up'), EPOCH), 'receiving');
  assert.equal(arrivalOf(vm('stopped', 'failed'), EPOCH), 'receiving');
  assert.equal(arrivalOf(vm('unknown', 'unknown'), EPOCH), 'receiving');
});

test('a VM with an older epoch is not the one that was to come', () => {
  assert.equal(arrivalOf(vm('running', 'unknown'), EPOCH + 1), 'receiving');
  assert.equal(arrivalOf(vm('running', 'unknown', { definition: undefined }), EPOCH), 'receiving');
});

test('a persistent VM has arrived, also if it was paused by its user or has powered off since', () => {
  assert.equal(arrivalOf(vm('running', 'migrated'), EPOCH), 'arrived');
  assert.equal(arrivalOf(vm('paused', 'user'), EPOCH), 'arrived');
  assert.equal(arrivalOf(vm('stopped', 'shutdown'), EPOCH), 'arrived');
  assert.equal(arrivalOf(vm('stopped', 'crashed'), EPOCH), 'arrived');
});

test('what is not there is absent', () => {
  assert.equal(arrivalOf(undefined, EPOCH), 'absent');
});

test('a VM that runs here with pages still at its source is never taken for a receiver, which may be destroyed', () => {
  for (const reason of ['postcopy', 'postcopy-failed'] as const) {
    for (const seen of [
      vm('running', reason),
      vm('paused', reason),
      vm('running', reason, { persistent: false }),
      vm('running', reason, { definition: undefined }),
    ]) {
      assert.equal(arrivalOf(seen, EPOCH + 1), 'arrived');
      assert.ok(holdsSource(seen));
    }
  }
  assert.ok(!holdsSource(vm('running', 'migrated')));
  assert.ok(!holdsSource(undefined));
});
