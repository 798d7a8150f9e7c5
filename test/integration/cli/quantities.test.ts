import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ServedNode } from './served-node.ts';

interface Wanted {
  readonly memory?: unknown;
  readonly cpu?: unknown;
  readonly bandwidth?: unknown;
}

async function dryRun(served: ServedNode, { memory = '64Mi', cpu = 1, bandwidth }: Wanted) {
  const manifest = {
    apiVersion: 'novacron.io/v1alpha1',
    kind: 'VirtualMachine',
    metadata: { name: 'web' },
    spec: {
      runStrategy: 'Manual',
      migrationPolicy: { bandwidth },
      template: { spec: { resources: { cpu, memory }, kernel: { path: '/boot/vmlinuz' } } },
    },
  };
  return served.novactl('vm apply --dry-run -f -', JSON.stringify(manifest));
}

test('memory in every unit is taken, rounded up to whole MiB, and that is said', async () => {
  await using served = await ServedNode.start();
  for (const [memory, rounded] of [
    ['1G', '954Mi'],
    ['512M', '489Mi'],
    ['4096M', '3907Mi'],
    ['2000000k', '1908Mi'],
    ['1T', '953675Mi'],
    ['0.001P', '953675Mi'],
    ['0.000001E', '953675Mi'],
    ['1e9', '954Mi'],
    ['1E9', '954Mi'],
    ['0.1Gi', '103Mi'],
    ['100000000001m', '96Mi'],
    ['134217729', '129Mi'],
    ['1.5Gi', undefined],
    ['0512Mi', undefined],
    ['+512Mi', undefined],
    ['131072Ki', undefined],
    ['2Ti', undefined],
    ['4Pi', undefined],
    ['0.001Ei', undefined],
    ['134217728', undefined],
    [134_217_728, undefined],
  ] as const) {
    const { code, stderr } = await dryRun(served, { memory });
    assert.equal(code, 0, `${memory}: ${stderr}`);
    const warning = `Warning: VM default/web: spec.template.spec.resources.memory ${memory} is rounded up to ${rounded}\n`;
    // A thousandth of an Ei is no whole number of MiB.
    if (memory === '0.001Ei') assert.match(stderr, /^Warning: .* is rounded up to 1099511628Mi\n$/);
    else assert.equal(stderr, rounded === undefined ? '' : warning);
  }
});

test('memory that cannot be given is refused with what can', async () => {
  await using served = await ServedNode.start();
  for (const [memory, words] of [
    ['512MB', 'did you mean 512M or 512Mi?'],
    ['512 Mi', 'did you mean 512Mi?'],
    ['512m', 'is 512m, which is thousandths of a byte; did you mean 512M or 512Mi?'],
    ['1gi', 'did you mean 1Gi?'],
    ['63Mi', 'must be at least 64Mi, not 63Mi'],
    ['0', 'must be at least 64Mi, not 0'],
    ['-5Gi', 'must be a quantity such as 512Mi or 2Gi'],
    ['1e30', 'must be at most 4Pi, not 1e30'],
    ['1Ei', 'must be at most 4Pi, not 1Ei'],
    [['1Gi'], 'must be a quantity such as 512Mi or 2Gi'],
    [null, 'must be a quantity such as 512Mi or 2Gi'],
  ] as const) {
    const { code, stderr } = await dryRun(served, { memory });
    assert.equal(code, 4, String(memory));
    assert.match(stderr, /: spec\.template\.spec\.resources\.memory /);
    assert.ok(stderr.includes(words), stderr);
  }
});

test('CPUs are rounded up to whole ones, and that is said', async () => {
  await using served = await ServedNode.start();
  for (const cpu of ['1500m', '1.5', 1.5]) {
    const { code, stderr } = await dryRun(served, { cpu });
    assert.equal(code, 0);
    assert.match(stderr, /resources\.cpu 1(\.5|500m) is rounded up to 2 virtual CPUs/);
  }
  for (const cpu of ['0.5', '513', '1k', '0']) {
    const { code, stderr } = await dryRun(served, { cpu });
    assert.equal(code, 4);
    assert.match(stderr, new RegExp(`resources\\.cpu must be from 1 to 512, not ${cpu} `));
  }
});

test('a rate in every unit is taken, and another one refused with what may be meant', async () => {
  await using served = await ServedNode.start();
  for (const bandwidth of ['9600bps', '10kbps', '10Kbps', '1.5Mbps', '1Gbps', '1Tbps']) {
    assert.equal((await dryRun(served, { bandwidth })).code, 0, bandwidth);
  }
  for (const [bandwidth, words] of [
    ['1G', 'did you mean 1Gbps?'],
    ['1 Gbit/s', 'did you mean 1Gbps?'],
    [1000, 'did you mean 1000bps?'],
    ['100MB/s', 'must be a quantity such as 1Gbps or 250Mbps ('],
    ['0bps', 'must be more than 0'],
  ] as const) {
    const { code, stderr } = await dryRun(served, { bandwidth });
    assert.equal(code, 4, `${bandwidth}`);
    assert.ok(stderr.includes(words), stderr);
    const asked = await served.novactl(`migrate web --to b --bandwidth ${bandwidth}`);
    assert.equal(asked.code, 2);
  }
});
