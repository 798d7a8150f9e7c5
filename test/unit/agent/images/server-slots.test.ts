import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServerSlots } from '../../../../src/agent/images/server-slots.ts';

const never = new AbortController().signal;

test('who fetches from one server keeps nobody from another', async () => {
  const slots = new ServerSlots();
  const slow = 'https://slow.example/';
  const taken = await Promise.all(
    ['a', 'b', 'c'].map((name) => slots.take(`${slow}${name}`, never)),
  );
  let isFourth = false;
  const fourth = slots.take(`${slow}d`, never).then((slot) => {
    isFourth = true;
    return slot;
  });
  await using _other = await slots.take('oci://registry.example/web', never);
  assert.equal(isFourth, false);
  await taken[0]?.[Symbol.asyncDispose]();
  await using _fourth = await fourth;
});

test('who gives up makes room, and one of a server that waits for all gives its place back', async () => {
  const slots = new ServerSlots();
  await using all = new AsyncDisposableStack();
  for (let server = 0; server < 12; server += 1) {
    all.use(await slots.take(`https://${server}.example/`, never));
  }
  const given = new AbortController();
  const late = slots.take('https://late.example/', given.signal);
  given.abort(new Error('given up'));
  await assert.rejects(late, /given up/);
  await all[Symbol.asyncDispose]();
  for (const name of ['a', 'b', 'c']) {
    await slots.take(`https://late.example/${name}`, AbortSignal.timeout(5_000));
  }
});
