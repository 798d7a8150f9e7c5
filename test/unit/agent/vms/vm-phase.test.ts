import assert from 'node:assert/strict';
import { test } from 'node:test';
import { phaseOf } from '../../../../src/agent/vms/vm-phase.ts';
import type { HypervisorVm } from '../../../../src/drivers/hypervisor-domains.ts';

const ALONE = { migrationId: undefined, shutdownRequested: false };

function vm(state: HypervisorVm['state'], stateReason = ''): HypervisorVm {
  return {
    uid: '11111111-1111-4111-8111-111111111111',
    hypervisorName: 'default_demo',
    state,
    stateReason,
    persistent: true,
    definition: undefined,
    accelerator: 'tcg',
    machineType: 'pc-q35-7.2',
    consoleLogPath: undefined,
    statistics: undefined,
  };
}

test('a VM that is leaving is migrating, whether its CPUs run or are stopped for the switchover', () => {
  const leaving = { migrationId: 'm', shutdownRequested: false };
  assert.equal(phaseOf(vm('running'), leaving).phase, 'migrating');
  assert.equal(phaseOf(vm('paused', 'migration'), leaving).phase, 'migrating');
});

test('a running VM whose guest was asked to power off is stopping', () => {
  const asked = { migrationId: undefined, shutdownRequested: true };
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
