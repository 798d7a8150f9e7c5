import assert from 'node:assert/strict';
import { test } from 'node:test';
import { downText, listDown } from '../../../../src/agent/vms/down-vms.ts';
import type { Vm, VmPhase } from '../../../../src/agent/vms/vm.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { vmOf } from '../node/vms-of-a-node.ts';

function vm(name: string, phase: VmPhase, reason: string, unfulfilled?: string): Vm {
  const condition = {
    type: 'RunStrategyFulfilled',
    status: unfulfilled === undefined ? 'true' : 'false',
    reason: unfulfilled ?? 'Fulfilled',
    message: '',
    lastTransitionAtMs: 0,
    observedGeneration: 1,
  } as const;
  const definition = tinyVm({ namespace: 'shop', name });
  return { ...vmOf(definition, phase), reason, conditions: [condition] };
}

const OFF = 'GuestShutdown';

test('a VM that should run and does not is told with what it waits for, one that is as it should be is not', () => {
  const found = listDown([
    vm('waits', 'stopped', OFF, 'WaitsForMemory'),
    vm('failing', 'failed', 'StartFailed', 'WaitsToRestart'),
    vm('kept', 'stopped', 'Saved', 'Saved'),
    vm('disk', 'paused', 'IoError'),
    vm('starting', 'stopped', OFF, 'Starting'),
    vm('node-down', 'stopped', OFF, 'NodeGoingDown'),
    vm('stopping', 'running', 'Booted', 'ShuttingDown'),
    vm('off', 'stopped', OFF),
    vm('suspended', 'paused', 'Suspended'),
    vm('on', 'running', 'Booted'),
    vm('nobody-knows', 'unknown', 'HypervisorNotConnected'),
  ]);
  assert.equal(
    downText(found),
    'shop/waits (WaitsForMemory), shop/failing (WaitsToRestart), shop/kept (Saved), shop/disk (IoError)',
  );
});

test('a few are named of many', () => {
  const many = listDown(Array.from({ length: 40 }, (_, at) => vm(`a${at}`, 'paused', 'IoError')));
  assert.equal(many.length, 40);
  assert.match(downText(many), /^shop\/a0 \(IoError\), .*shop\/a4 \(IoError\) and others$/);
});
