import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DomainRecord } from '../../../../src/drivers/libvirt/domain-statistics.ts';
import { StatisticsSampler } from '../../../../src/drivers/libvirt/statistics-sampler.ts';

const never = new AbortController().signal;

const record: DomainRecord = {
  uid: 'a',
  name: 'a',
  runId: 1,
  state: 1,
  reason: 1,
  persistent: true,
  statistics: {
    cpuTimeNs: 1n,
    vcpus: 1,
    memoryActualBytes: 1,
    memoryRssBytes: 1,
    diskReadBytes: 0n,
    diskWriteBytes: 0n,
    networkReceiveBytes: 0n,
    networkTransmitBytes: 0n,
    disks: [],
  },
};

const { statistics } = record;

/** Reads the record at once; later reads, if asked for, hang. */
function reader(options: { readonly hangsAfter?: number } = {}) {
  const { hangsAfter = Number.POSITIVE_INFINITY } = options;
  const counter = { reads: 0 };
  const read = async (): Promise<readonly DomainRecord[]> => {
    counter.reads += 1;
    if (counter.reads > hangsAfter) await new Promise(() => {});
    return [record];
  };
  return { counter, sampler: new StatisticsSampler(read) };
}

test('the first sample is waited for, the next is the same', async () => {
  const { counter, sampler } = reader();
  assert.equal((await sampler.sample(never)).get('a'), statistics);
  assert.equal((await sampler.sample(never)).get('a'), statistics);
  assert.equal(counter.reads, 1);
});

test('a VM that was too busy to be asked has none', async () => {
  const sampler = new StatisticsSampler(async () => [{ ...record, statistics: undefined }]);
  assert.ok(!(await sampler.sample(never)).has('a'));
});

test('a VM that was stopped or started has none of its last run', async () => {
  const { sampler } = reader();
  await sampler.sample(never);
  sampler.forget('a');
  assert.ok(!(await sampler.sample(never)).has('a'));
});

test('nor has a VM that was stopped or started while statistics were read', async () => {
  const { promise, resolve } = Promise.withResolvers<readonly DomainRecord[]>();
  const sampler = new StatisticsSampler(() => promise);
  const sampling = sampler.sample(never);
  sampler.forget('a');
  resolve([record]);
  assert.ok(!(await sampling).has('a'));
});

test('after a lost connection statistics are read anew', async () => {
  const { counter, sampler } = reader();
  await sampler.sample(never);
  sampler.forgetAll();
  assert.equal((await sampler.sample(never)).get('a'), statistics);
  assert.equal(counter.reads, 2);
});

test('whoever asks again soon does not wait for new ones', async (context) => {
  const { counter, sampler } = reader({ hangsAfter: 1 });
  await sampler.sample(never);
  const nowMs = performance.now();
  context.mock.method(performance, 'now', () => nowMs + 3_000);
  assert.equal((await sampler.sample(never)).get('a'), statistics);
  assert.equal(counter.reads, 2);
});

test('a sample that hangs is waited for once, and there are none', async (context) => {
  const { sampler } = reader({ hangsAfter: 0 });
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const first = sampler.sample(never);
  context.mock.timers.tick(1_000);
  assert.equal((await first).size, 0);
  assert.equal((await sampler.sample(never)).size, 0);
});

test('old statistics are none', async (context) => {
  const { sampler } = reader({ hangsAfter: 1 });
  await sampler.sample(never);
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const nowMs = performance.now();
  context.mock.method(performance, 'now', () => nowMs + 12_000);
  const late = sampler.sample(never);
  context.mock.timers.tick(1_000);
  assert.equal((await late).size, 0);
});

test('a failed sample is none and is tried again', async () => {
  let reads = 0;
  const sampler = new StatisticsSampler(async () => {
    reads += 1;
    if (reads === 1) throw new Error('busy');
    return [record];
  });
  assert.equal((await sampler.sample(never)).size, 0);
  assert.equal((await sampler.sample(never)).get('a'), statistics);
});

test('whoever gives up does not wait, and what is read is there for the next', async () => {
  const { promise, resolve } = Promise.withResolvers<readonly DomainRecord[]>();
  const sampler = new StatisticsSampler(() => promise);
  const controller = new AbortController();
  const given = assert.rejects(sampler.sample(controller.signal), { message: 'enough' });
  controller.abort(new Error('enough'));
  await given;
  resolve([record]);
  assert.equal((await sampler.sample(never)).get('a'), statistics);
});
