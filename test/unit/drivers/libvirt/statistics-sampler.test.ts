import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DomainRecord } from '../../../../src/drivers/libvirt/domain-statistics.ts';
import { StatisticsSampler } from '../../../../src/drivers/libvirt/statistics-sampler.ts';

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
  },
};

test('the first listing waits for statistics, the next takes the same', async () => {
  let reads = 0;
  const sampler = new StatisticsSampler(async () => {
    reads += 1;
    return [record];
  });
  await sampler.refresh();
  await sampler.refresh();
  assert.equal(reads, 1);
  assert.equal(sampler.find(record), record.statistics);
});

test('a VM started anew has none of its last run', async () => {
  const sampler = new StatisticsSampler(async () => [record]);
  await sampler.refresh();
  assert.equal(sampler.find({ ...record, runId: 2 }), undefined);
  assert.equal(sampler.find({ ...record, runId: undefined }), undefined);
});

test('whoever lists again soon does not wait for new ones', async (context) => {
  let reads = 0;
  const sampler = new StatisticsSampler(async () => {
    reads += 1;
    if (reads > 1) await new Promise(() => {});
    return [record];
  });
  await sampler.refresh();
  const nowMs = performance.now();
  context.mock.method(performance, 'now', () => nowMs + 3_000);
  await sampler.refresh();
  assert.equal(reads, 2);
  assert.equal(sampler.find(record), record.statistics);
});

test('a sample that hangs is waited for once, and old statistics are none', async (context) => {
  const sampler = new StatisticsSampler(() => new Promise(() => {}));
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const first = sampler.refresh();
  context.mock.timers.tick(1_000);
  await first;
  await sampler.refresh();
  assert.equal(sampler.find(record), undefined);
});

test('a failed sample is tried again', async () => {
  let reads = 0;
  const sampler = new StatisticsSampler(async () => {
    reads += 1;
    if (reads === 1) throw new Error('busy');
    return [record];
  });
  await sampler.refresh();
  assert.equal(sampler.find(record), undefined);
  await sampler.refresh();
  assert.equal(sampler.find(record), record.statistics);
});
