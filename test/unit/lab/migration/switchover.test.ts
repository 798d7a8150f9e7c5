import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Heartbeat } from '../../../../lab/guest/console-watcher.ts';
import { checkDisk, checkMemory, findSwitchover } from '../../../../lab/migration/switchover.ts';

function heard(counts: readonly number[], startMs: number): Heartbeat[] {
  return counts.map((count, index) => ({ count, atMs: startMs + index * 10, rewrites: 0 }));
}

function heardOn(
  heartbeats: readonly Heartbeat[],
  edge: { readonly remainder?: string; readonly firstPiece?: { text: string; atMs: number } } = {},
) {
  return { heartbeats: [...heartbeats], remainder: '', firstPiece: undefined, ...edge };
}

test('the gap runs from the last heartbeat at the source to the first at the destination', () => {
  const source = heardOn(heard([1, 2, 3], 0));
  const destination = heardOn(heard([4, 5], 95));
  assert.deepEqual(findSwitchover(source, destination), {
    gapMs: 75,
    lastAtSource: 3,
    firstAtDestination: 4,
    lost: 0,
    duplicated: 0,
  });
});

test('a line begun at the source and ended at the destination is a heartbeat, not a lost one', () => {
  const source = heardOn(heard([1, 2], 0), { remainder: 'novac' });
  const destination = heardOn(heard([4], 100), {
    firstPiece: { text: 'ron-demo count=3 ms=30 gen=0 checked=0 bad=0', atMs: 90 },
  });
  const switchover = findSwitchover(source, destination);
  assert.equal(switchover?.lost, 0);
  assert.equal(switchover.firstAtDestination, 3);
  assert.equal(switchover.gapMs, 80);
});

test('missing counts are lost', () => {
  const found = findSwitchover(heardOn(heard([1, 2], 0)), heardOn(heard([5, 6], 50)));
  assert.equal(found?.lost, 2);
});

test('counts that both nodes heard are duplicated', () => {
  const found = findSwitchover(heardOn(heard([1, 2, 3], 0)), heardOn(heard([2, 3, 4], 50)));
  assert.equal(found?.duplicated, 2);
  assert.equal(found.lost, 0);
});

test('nothing is known before both nodes have heard the guest', () => {
  assert.equal(findSwitchover(heardOn(heard([1], 0)), heardOn([])), undefined);
});

test('memory is verified by a check that began after the arrival, so the first to end does not count', () => {
  assert.equal(checkMemory({ passes: [1], bad: 0, alarms: [] }), 'not verified');
  assert.equal(checkMemory({ passes: [1, 2], bad: 0, alarms: [] }), 'verified');
});

test('a bad page is damage, whether counted or only reported', () => {
  assert.equal(checkMemory({ passes: [1, 2], bad: 1, alarms: [] }), 'damaged');
  assert.equal(
    checkMemory({ passes: [], bad: 0, alarms: ['novacron-demo bad page=7'] }),
    'damaged',
  );
});

test('after a panic nothing is verified', () => {
  assert.equal(checkMemory({ passes: [1, 2], bad: 0, alarms: ['Oops'] }), 'not verified');
});

void test('a disk counts as checked from its second pass on, and every bad block counts', () => {
  assert.equal(checkDisk({ diskPasses: [1], diskBad: 0, alarms: [] }), 'not verified');
  assert.equal(checkDisk({ diskPasses: [1, 2], diskBad: 0, alarms: [] }), 'verified');
  assert.equal(checkDisk({ diskPasses: [1, 2], diskBad: 1, alarms: [] }), 'damaged');
  const alarms = ['novacron-demo bad block=7 is not what was written'];
  assert.equal(checkDisk({ diskPasses: [], diskBad: 0, alarms }), 'damaged');
  assert.notEqual(checkMemory({ passes: [1, 2], bad: 0, alarms }), 'damaged');
});
