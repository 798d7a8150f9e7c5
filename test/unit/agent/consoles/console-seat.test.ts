import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BytePace } from '../../../../src/agent/consoles/byte-pace.ts';
import type { ConsoleEvent } from '../../../../src/agent/consoles/console.ts';
import { ConsoleSeat } from '../../../../src/agent/consoles/console-seat.ts';
import { overlapOf } from '../../../../src/agent/consoles/overlap.ts';
import { never } from '../vms/one-node.ts';

const KIB = 1024;

const of = (logged: string, live: string) => overlapOf(Buffer.from(logged), Buffer.from(live));

async function allOf(seat: ConsoleSeat): Promise<readonly ConsoleEvent[]> {
  return await Array.fromAsync(seat.events(never));
}

test('what waits for a slow reader is bounded, and it is told what was left out', async () => {
  const seat = new ConsoleSeat('alice', { isReader: true });
  for (let piece = 0; piece < 20; piece += 1) seat.put(Buffer.alloc(100 * KIB, piece));
  seat.end(undefined);
  const events = await allOf(seat);
  const shown = events.flatMap((event) => (event.kind === 'output' ? [event.data[0]] : []));
  assert.deepEqual(shown, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(events.at(-1), { kind: 'left-out', bytes: 10 * 100 * KIB });
});

test('what was left out stands where it was', async () => {
  const seat = new ConsoleSeat('alice', { isReader: true });
  seat.put(Buffer.alloc(1024 * KIB, 'a'));
  seat.put(Buffer.from('lost'));
  const events = seat.events(never);
  assert.equal((await events.next()).value?.kind, 'output');
  seat.put(Buffer.from('after'));
  assert.deepEqual((await events.next()).value, { kind: 'left-out', bytes: 4 });
  assert.deepEqual((await events.next()).value, { kind: 'output', data: Buffer.from('after') });
});

test('an end with an error comes after what was told', async () => {
  const seat = new ConsoleSeat('alice', { isReader: false });
  seat.tell({ kind: 'taken-over', by: 'bob' });
  seat.end(new Error('lost'));
  const events = seat.events(never);
  assert.deepEqual((await events.next()).value, { kind: 'taken-over', by: 'bob' });
  await assert.rejects(events.next(), /lost/);
});

test('more than four million bytes a second wait, after a burst', () => {
  let nowMs = 0;
  const pace = new BytePace(() => nowMs);
  assert.equal(pace.take(1_000_000), 0);
  assert.equal(pace.take(400_000), 100);
  nowMs += 100;
  assert.equal(pace.take(0), 0);
  assert.equal(pace.take(4_000_000), 1_000);
  nowMs += 60_000;
  assert.equal(pace.take(1_000_000), 0, 'a rest saves up no more than the burst');
  assert.equal(pace.take(4), 1);
});

test('what is in the log and came live as well is found', () => {
  assert.equal(of('booting login: ', 'login: root'), 7);
  assert.equal(of('booting', 'login'), 0);
  assert.equal(of('aaaa', 'aa'), 2);
  assert.equal(of('', 'x'), 0);
  assert.equal(of('x', ''), 0);
});
