import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arrivalOf } from '../../../../src/agent/migration/arrivals.ts';
import type { HypervisorVm, VmRunState } from '../../../../src/drivers/hypervisor-domains.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const EPOCH = 4;

function vm(state: VmRunState, stateReason: string, changes: Partial<HypervisorVm> = {}) {
  return {
    uid: 'x',
    hypervisorName: 'default_x',
    state,
    stateReason,
    persistent: true,
    definition: tinyVm({ ownershipEpoch: EPOCH }),
    accelerator: 'tcg',
    machineType: '',
    consoleLogPath: undefined,
    statistics: undefined,
    ...changes,
  } as const;
}

test('a VM that is not persistent has not arrived, whatever it seems to do', () => {
  for (const [state, reason] of [
    ['running', 'migrated'],
    ['paused', 'migration'],
    ['stopped', 'crashed'],
    ['stopped', 'destroyed'],
    ['stopped', ''],
    ['crashed', ''],
  ] as const) {
    assert.equal(arrivalOf(vm(state, reason, { persistent: false }), EPOCH), 'receiving', state);
  }
});

test('a VM that waits to be let run has not arrived', () => {
  assert.equal(arrivalOf(vm('paused', 'migration'), EPOCH), 'receiving');
  assert.equal(arrivalOf(vm('paused', 'starting-up'), EPOCH), 'receiving');
  assert.equal(arrivalOf(vm('stopped', 'failed'), EPOCH), 'receiving');
  assert.equal(arrivalOf(vm('unknown', ''), EPOCH), 'receiving');
});

test('a VM with an older epoch is not the one that was to come', () => {
  assert.equal(arrivalOf(vm('running', ''), EPOCH + 1), 'receiving');
  assert.equal(arrivalOf(vm('running', '', { definition: undefined }), EPOCH), 'receiving');
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
