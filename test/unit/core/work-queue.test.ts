import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Work, WorkQueue } from '../../../src/core/work-queue.ts';

const never = new AbortController().signal;
const work = (subject: string, worker = 'starts'): Work => ({ worker, subject });
const queueOf = (firstDelayMs = 1, maxDelayMs = 60_000) =>
  new WorkQueue({ firstDelayMs, maxDelayMs });

/** Whether nothing can be taken now. */
async function isIdle(queue: WorkQueue): Promise<boolean> {
  const stop = new AbortController();
  const taken = queue.take(stop.signal).then(
    () => false,
    () => true,
  );
  // What is due is handed out in the same turn.
  await new Promise(setImmediate);
  stop.abort(new Error('nothing is due'));
  return taken;
}

test('work that is added again and again is done once', async () => {
  const queue = queueOf();
  for (let times = 0; times < 3; times += 1) queue.add(work('web'), 'off');
  assert.deepEqual(await queue.take(never), work('web'));
  queue.done(work('web'));
  assert.ok(await isIdle(queue));
  assert.equal(queue.state('starts').depth, 0);
});

test('work that is added while it is done is done once more', async () => {
  const queue = queueOf();
  queue.add(work('web'), 'off');
  await queue.take(never);
  queue.add(work('web'), 'off');
  assert.ok(await isIdle(queue));
  queue.done(work('web'));
  assert.deepEqual(await queue.take(never), work('web'));
});

test('what has been due for longest comes first', async () => {
  const queue = queueOf();
  for (const subject of ['c', 'a', 'b']) queue.add(work(subject), 'off');
  const taken = [];
  for (let times = 0; times < 3; times += 1) taken.push((await queue.take(never)).subject);
  assert.deepEqual(taken, ['c', 'a', 'b']);
});

test('two pieces of work on one subject are done one after the other, those on others at once', async () => {
  const queue = queueOf();
  queue.add(work('web', 'starts'), 'off');
  queue.add(work('web', 'stops'), 'on');
  queue.add(work('db', 'stops'), 'on');
  assert.deepEqual(await queue.take(never), work('web', 'starts'));
  assert.deepEqual(await queue.take(never), work('db', 'stops'));
  assert.ok(await isIdle(queue));
  queue.done(work('web', 'starts'));
  assert.deepEqual(await queue.take(never), work('web', 'stops'));
});

test('work that fails waits, each time twice as long and never longer than said', async () => {
  const queue = queueOf(1, 5);
  queue.add(work('web'), 'off');
  const waits = [];
  for (let times = 0; times < 5; times += 1) {
    await queue.take(never);
    waits.push(queue.failed(work('web')));
  }
  assert.deepEqual(waits, [1, 2, 4, 5, 5]);
});

test('work that fails delays no other, and its own reason does not end its wait', async () => {
  const queue = queueOf(60_000);
  queue.add(work('web'), 'off');
  await queue.take(never);
  queue.failed(work('web'));
  queue.add(work('web'), 'off');
  assert.ok(await isIdle(queue));
  assert.deepEqual(queue.state('starts'), { depth: 0, waiting: 1, oldestAgeMs: 0, failing: 1 });
  queue.add(work('db'), 'off');
  assert.deepEqual(await queue.take(never), work('db'));
});

test('another reason ends the wait of work that has failed, and so does who asks for it', async () => {
  const queue = queueOf(60_000);
  queue.add(work('web'), 'off');
  await queue.take(never);
  queue.failed(work('web'));
  queue.add(work('web'), 'on');
  await queue.take(never);
  queue.failed(work('web'));
  queue.wake(work('web'), 'on');
  await queue.take(never);
  // It begins anew: what failed before does not count.
  assert.equal(queue.failed(work('web')), 60_000);
});

test('work that is asked for while it is done does not wait, whatever comes of it', async () => {
  const queue = queueOf(60_000);
  for (const end of ['later', 'failed'] as const) {
    queue.wake(work('web'), 'off');
    await queue.take(never);
    queue.wake(work('web'), 'off');
    queue[end](work('web'), 60_000);
    await queue.take(never);
    queue.done(work('web'));
  }
});

test('work that is not needed any more is forgotten', async () => {
  const queue = queueOf();
  queue.add(work('web'), 'off');
  queue.drop(work('web'));
  assert.ok(await isIdle(queue));
  queue.add(work('web'), 'off');
  await queue.take(never);
  queue.add(work('web'), 'off');
  queue.drop(work('web'));
  queue.done(work('web'));
  assert.ok(await isIdle(queue));
});

test('work that is to be done later is handed out then, and what failed before still counts', async () => {
  const queue = queueOf(4);
  queue.add(work('web'), 'off');
  await queue.take(never);
  queue.failed(work('web'), 1);
  await queue.take(never);
  queue.later(work('web'), 1);
  assert.equal(queue.state('starts').failing, 1);
  await queue.take(never);
  assert.equal(queue.failed(work('web')), 8);
});

test('the state of a worker counts its own work and says how old the oldest is', async () => {
  const queue = queueOf();
  queue.add(work('web', 'stops'), 'on');
  queue.add(work('web'), 'off');
  queue.add(work('db'), 'off');
  await queue.take(never);
  const { depth, waiting, failing, oldestAgeMs } = queue.state('starts');
  assert.deepEqual({ depth, waiting, failing }, { depth: 2, waiting: 0, failing: 0 });
  assert.ok(oldestAgeMs > 0);
});

test('who waits for work is let go when told to', async () => {
  const queue = queueOf(60_000);
  queue.add(work('web'), 'off');
  await queue.take(never);
  queue.failed(work('web'));
  const stop = new AbortController();
  const taken = queue.take(stop.signal);
  stop.abort(new Error('enough'));
  await assert.rejects(taken, { message: 'enough' });
});

test('ten thousand pieces of work on a hundred subjects all get done', async () => {
  const queue = queueOf();
  for (let number = 0; number < 10_000; number += 1) {
    queue.add(work(`vm-${number % 100}`, `w-${Math.floor(number / 100)}`), 'off');
  }
  for (let number = 0; number < 10_000; number += 1) queue.done(await queue.take(never));
  assert.ok(await isIdle(queue));
});

test('work that waits is hastened, and has failed no more; what is not there is not made', async () => {
  const queue = queueOf(60_000);
  queue.hasten(work('web'));
  assert.ok(await isIdle(queue));
  queue.add(work('web'), 'off');
  await queue.take(never);
  queue.hasten(work('web'));
  queue.failed(work('web'));
  assert.ok(await isIdle(queue));
  queue.hasten(work('web'));
  assert.equal(queue.state('starts').failing, 0);
  assert.deepEqual(await queue.take(never), work('web'));
  // Its purpose is what it was.
  queue.failed(work('web'));
  queue.add(work('web'), 'off');
  assert.ok(await isIdle(queue));
});
