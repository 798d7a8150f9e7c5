import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldWork } from '../../../src/core/held-work.ts';

function newWork() {
  const done = Promise.withResolvers<string>();
  const ends: unknown[] = [];
  const work = new HeldWork(0, (tell, signal) => {
    tell(7);
    signal.addEventListener('abort', () => ends.push(signal.reason));
    return done.promise;
  });
  return { work, done, ends };
}

test('work goes on while somebody holds it, and tells how far it is', async () => {
  const { work, done, ends } = newWork();
  work.hold('one');
  work.hold('two');
  work.release('one');
  assert.ok(!work.isForNobody && work.isGoingOn && !work.isHeldBy('one'));
  assert.equal(work.progress, 7);
  done.resolve('image');
  assert.equal(await work.outcome, 'image');
  assert.ok(!work.isGoingOn);
  assert.deepEqual(ends, []);
});

test('who has not asked for long holds it no more', () => {
  const { work } = newWork();
  work.hold('one');
  work.releaseSilent(60_000);
  assert.ok(work.isHeldBy('one'));
  work.releaseSilent(-1);
  assert.ok(work.isForNobody);
});

test('it is ended by a word, and what comes of that is nobody’s', () => {
  const { work, done, ends } = newWork();
  work.end();
  assert.equal(ends.length, 1);
  done.reject(new Error('ended'));
});
