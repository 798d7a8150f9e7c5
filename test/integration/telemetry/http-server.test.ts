import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import { AgentMetrics } from '../../../src/agent/telemetry/agent-metrics.ts';
import { HttpServer, type Obstacle } from '../../../src/agent/telemetry/http-server.ts';
import { Heartbeat } from '../../../src/agent/telemetry/process-metrics.ts';
import { obstacles } from '../../../src/agent/telemetry/readiness.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { sampleMigration, sampleVm } from '../../unit/agent/telemetry/samples.ts';

interface Opened extends AsyncDisposable {
  readonly metrics: AgentMetrics;
  readonly port: number;
  readonly url: string;
}

const CONTROLLER = {
  name: 'operations',
  depth: 1,
  waiting: 2,
  oldestAgeMs: 1_500,
  failing: 2,
  retries: 7,
  lastError: 'Cannot start VM web',
};

async function open(missing: () => readonly Obstacle[] = () => [], vmCount = 3): Promise<Opened> {
  await using undo = new AsyncDisposableStack();
  const heartbeat = undo.use(new Heartbeat());
  const vms = Array.from({ length: vmCount }, (_, index) => sampleVm(`vm-${index}`, 'running'));
  const metrics = new AgentMetrics({
    agentVersion: '1.2.3',
    vms: () => vms,
    unidentifiedVms: () => 0,
    memory: () => ({ allocatableBytes: 0, allocatedBytes: 0, foreignBytes: 0 }),
    nodeConditions: () => [],
    storageAvailableBytes: () => undefined,
    certificate: () => undefined,
    activeMigrations: () => 0,
    hypervisorConnected: () => true,
    controllers: () => [CONTROLLER, { ...CONTROLLER, name: 'stray-copies' }],
    heartbeat,
  });
  const server = undo.use(
    await HttpServer.start({
      listen: '127.0.0.1:0',
      metrics,
      heartbeat,
      obstacles: missing,
      log: createLogger('silent'),
    }),
  );
  const owned = undo.move();
  return {
    metrics,
    port: server.port,
    url: `http://127.0.0.1:${server.port}`,
    [Symbol.asyncDispose]: async () => {
      await owned.disposeAsync();
      await server[Symbol.asyncDispose]();
    },
  };
}

test('the alerts pass promtool', () => {
  const check = spawnSync('promtool', ['check', 'rules', 'deploy/prometheus/alerts.yaml'], {
    encoding: 'utf8',
  });
  assert.equal(check.status, 0, check.stdout + check.stderr);
});

test('the metrics pass promtool', async () => {
  await using server = await open();
  server.metrics.migrations.ended(sampleMigration({}));
  server.metrics.hypervisor.callEnded('list', 'ok');
  server.metrics.rpc.callStarted('GetNode');
  server.metrics.rpc.callEnded({ method: 'GetNode', code: 0, durationMs: 1 });
  const text = await (await fetch(`${server.url}/metrics`)).text();
  // Of what is only there with something to count, something is there.
  for (const part of ['controller', 'grpc', 'hypervisor', 'migration', 'vm']) {
    assert.match(text, new RegExp(`^novacron_${part}_\\w+\\{`, 'm'));
  }
  assert.match(text, /^novacron_controller_retries_total\{controller="stray-copies"\} 7$/m);
  const check = spawnSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
  assert.equal(check.error, undefined, 'promtool is missing');
  assert.deepEqual([check.status, check.stdout, check.stderr], [0, '', '']);
});

test('a scrape with 100 VMs takes less than 50 ms of a processor', async () => {
  await using server = await open(() => [], 100);
  const times: number[] = [];
  for (let count = 0; count < 10; count++) {
    // Not by the clock, which counts what else the machine does.
    const before = process.cpuUsage();
    await (await fetch(`${server.url}/metrics`)).text();
    const { user, system } = process.cpuUsage(before);
    times.push((user + system) / 1_000);
  }
  const [best = Infinity] = times.toSorted((left, right) => left - right);
  assert.ok(best < 50, `${best} ms`);
});

test('it is alive, and ready once nothing is in the way', async () => {
  let missing: readonly Obstacle[] = obstacles({
    storageHealth: () => ({ reason: 'WriteFailed', message: 'The disk is full' }),
    hypervisorConnected: () => false,
    vmsObstacle: () => ({ message: 'Not listed yet' }),
    apiListening: () => false,
  });
  await using server = await open(() => missing);
  assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
  const notReady = await fetch(`${server.url}/readyz`);
  assert.equal(notReady.status, 503);
  const lines = (await notReady.text()).trim().split('\n');
  assert.deepEqual(
    lines.map((line) => (JSON.parse(line) as Obstacle).check),
    ['journal', 'hypervisor', 'vms', 'api'],
  );
  missing = [];
  assert.equal((await fetch(`${server.url}/readyz?verbose`)).status, 200);
});

test('HEAD answers as GET without a body, other methods and paths are refused', async () => {
  await using server = await open();
  const head = await fetch(`${server.url}/metrics`, { method: 'HEAD' });
  assert.equal(head.status, 200);
  assert.ok(Number(head.headers.get('content-length')) > 1_000);
  assert.equal(await head.text(), '');
  const post = await fetch(`${server.url}/metrics`, { method: 'POST', body: 'x' });
  assert.deepEqual([post.status, post.headers.get('allow')], [405, 'GET, HEAD']);
  assert.equal((await fetch(`${server.url}/`)).status, 404);
  assert.equal((await fetch(`${server.url}/metrics/x`)).status, 404);
});

test('a failing source gives status 500 without its text', async () => {
  await using server = await open(() => {
    throw new Error('secret');
  });
  const response = await fetch(`${server.url}/readyz`);
  assert.deepEqual([response.status, await response.text()], [500, 'Internal error\n']);
});

// Long before Node's own limit for that, which is a minute.
test('a client that never ends its request is cut off while others are served', {
  timeout: 45_000,
}, async () => {
  await using server = await open();
  using stack = new DisposableStack();
  const slow = stack.adopt(connect(server.port, '127.0.0.1'), (socket) => socket.destroy());
  slow.on('error', () => {});
  await once(slow, 'connect');
  slow.write('GET /metrics HTTP/1.1\r\nHost: x\r\n');
  const closed = once(slow, 'close');
  slow.resume();
  assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
  await closed;
});

test('headers that are too long are refused', async () => {
  await using server = await open();
  const response = await fetch(`${server.url}/healthz`, {
    headers: { 'x-long': 'y'.repeat(9_000) },
  });
  assert.equal(response.status, 431);
});
