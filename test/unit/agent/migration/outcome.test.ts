import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  judge,
  type LocalView,
  localView,
  type PeerView,
} from '../../../../src/agent/migration/outcome.ts';
import type { HypervisorVm, VmStateReason } from '../../../../src/drivers/hypervisor-domains.ts';
import { newFakeVm, toHypervisorVm } from '../../../fakes/fake-vm.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';

const LOCAL: readonly LocalView[] = [
  'unreachable',
  'absent',
  'migrating',
  'running',
  'held',
  'holds-pages',
  'paused',
  'stopped',
];
const PEER: readonly PeerView[] = [
  'absent',
  'prepared',
  'receiving',
  'arrived',
  'holds-source',
  'unknown',
  'unreachable',
];

function everyCase(): { local: LocalView; peer: PeerView; switched: boolean }[] {
  return LOCAL.flatMap((local) =>
    PEER.flatMap((peer) => [true, false].map((switched) => ({ local, peer, switched }))),
  );
}

test('a VM that is said to be at the destination is never given up here without removing its copy', () => {
  for (const { local, switched } of everyCase()) {
    const verdict = judge(local, 'arrived', switched);
    assert.ok(['wait', 'moved', 'remove-local'].includes(verdict), `${local}: ${verdict}`);
  }
});

test('a migration is only finished when the destination has said that the VM arrived', () => {
  for (const { local, peer, switched } of everyCase()) {
    if (judge(local, peer, switched) === 'moved') assert.equal(peer, 'arrived');
  }
});

test('a silent destination is never taken to be without the VM once it may have switched over', () => {
  for (const local of LOCAL) {
    for (const peer of ['unknown', 'unreachable'] as const) {
      assert.equal(judge(local, peer, true), 'wait', `${local} ${peer}`);
    }
  }
});

test('a VM held by the switchover is never let go on without the destination having been asked', () => {
  for (const peer of PEER) {
    assert.notEqual(judge('held', peer, false), 'stayed', peer);
  }
});

test('a VM that runs here and was never stopped for the switchover is given back although the destination is silent', () => {
  assert.equal(judge('running', 'unreachable', false), 'stayed');
});

test('a VM that is here makes the destination promise first', () => {
  assert.equal(judge('running', 'receiving', true), 'call-off');
  assert.equal(judge('held', 'absent', true), 'call-off');
});

test('a VM on neither node is lost, not finished', () => {
  assert.equal(judge('absent', 'absent', true), 'lost');
  // A destination waits for it as long as its transfer lives, which is as long as its source waits.
  assert.equal(judge('absent', 'prepared', true), 'lost');
});

test('nothing is concluded while the hypervisor here is silent or still at it', () => {
  for (const { peer, switched } of everyCase()) {
    assert.equal(judge('unreachable', peer, switched), 'wait');
    assert.equal(judge('migrating', peer, switched), 'wait');
  }
});

test('what holds pages of a guest that runs elsewhere is left alone, whatever the destination says', () => {
  for (const { peer, switched } of everyCase()) {
    assert.equal(judge('holds-pages', peer, switched), 'wait', peer);
  }
});

test('a destination that still fetches pages from here is waited for, whatever is here', () => {
  for (const { local, switched } of everyCase()) {
    assert.equal(judge(local, 'holds-source', switched), 'wait', local);
  }
});

test('a post-copy that goes on or has broken leaves pages here, in any state of the VM', () => {
  for (const stateReason of ['postcopy', 'postcopy-failed'] as const) {
    for (const state of ['paused', 'running'] as const) {
      assert.equal(localView(vm({ state, stateReason }), undefined), 'holds-pages', stateReason);
    }
  }
});

test('a guest that the migration has stopped is held, one that somebody has suspended is paused', () => {
  assert.equal(paused('migration'), 'held');
  assert.equal(paused('starting-up'), 'held');
  assert.equal(paused('user'), 'paused');
  assert.equal(paused('io-error'), 'paused');
  assert.equal(paused('unknown'), 'paused');
});

function paused(stateReason: VmStateReason): LocalView {
  return localView(vm({ state: 'paused', stateReason }), undefined);
}

function vm(changes: Pick<HypervisorVm, 'state' | 'stateReason'>): HypervisorVm {
  return { ...toHypervisorVm(newFakeVm(tinyVm())), ...changes };
}
