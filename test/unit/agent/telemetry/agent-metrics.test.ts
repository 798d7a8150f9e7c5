import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Migration } from '../../../../src/agent/migration/migration.ts';
import { AgentMetrics, type MetricSources } from '../../../../src/agent/telemetry/agent-metrics.ts';
import { Heartbeat } from '../../../../src/agent/telemetry/process-metrics.ts';
import { sampleMigration, sampleVm } from './samples.ts';

const MEMORY = { allocatableBytes: 300, allocatedBytes: 200, foreignBytes: 100 };

async function render(
  sources: Partial<MetricSources>,
  use: (metrics: AgentMetrics) => void = () => {},
): Promise<readonly string[]> {
  using heartbeat = new Heartbeat();
  const metrics = new AgentMetrics({
    agentVersion: '1.2.3',
    vms: () => [],
    unidentifiedVms: () => 0,
    memory: () => MEMORY,
    nodeConditions: () => [],
    storageAvailableBytes: () => undefined,
    certificate: () => undefined,
    activeMigrations: () => 0,
    hypervisorConnected: () => true,
    controllers: () => [],
    heartbeat,
    ...sources,
  });
  use(metrics);
  return (await metrics.render()).split('\n');
}

function assertHas(lines: readonly string[], ...wanted: readonly string[]): void {
  for (const line of wanted) assert.ok(lines.includes(line), `${line} is not in the output`);
}

test('VMs are counted by phase, and their use is exported', async () => {
  const vms = [sampleVm('web', 'running'), sampleVm('db', 'stopped')];
  const lines = await render({ vms: () => vms });
  assertHas(
    lines,
    'novacron_vm_total{phase="running"} 1',
    'novacron_vm_total{phase="stopped"} 1',
    'novacron_vm_total{phase="failed"} 0',
    'novacron_vm_cpu_usage_cores{namespace="default",name="web"} 0.25',
    'novacron_vm_memory_usage_bytes{namespace="default",name="web"} 300000000',
    'novacron_vm_memory_limit_bytes{namespace="default",name="db"} 536870912',
  );
  assert.ok(
    !lines.some((line) =>
      line.startsWith('novacron_vm_cpu_usage_cores{namespace="default",name="db"'),
    ),
  );
});

test('a VM that is gone is no longer exported, and nothing is while VMs are not known', async () => {
  let vms: ReturnType<MetricSources['vms']> = [sampleVm('web', 'running')];
  using heartbeat = new Heartbeat();
  const metrics = new AgentMetrics({
    agentVersion: '1.2.3',
    vms: () => vms,
    unidentifiedVms: () => 0,
    memory: () => MEMORY,
    nodeConditions: () => [],
    storageAvailableBytes: () => undefined,
    certificate: () => undefined,
    activeMigrations: () => 0,
    hypervisorConnected: () => false,
    controllers: () => [],
    heartbeat,
  });
  assert.match(await metrics.render(), /name="web"/);
  vms = undefined;
  const text = await metrics.render();
  assert.doesNotMatch(text, /name="web"|phase="/);
  assert.match(text, /^novacron_hypervisor_connected 0$/m);
});

test("the node's memory is told, with what others' VMs have of it", async () => {
  assertHas(
    await render({}),
    'novacron_node_memory_allocatable_bytes 300',
    'novacron_node_memory_allocated_bytes 200',
    'novacron_node_memory_foreign_bytes 100',
  );
});

test('VMs of nobody knows whom are counted once that is known', async () => {
  assertHas(await render({ unidentifiedVms: () => 2 }), 'novacron_unidentified_vms 2');
  const lines = await render({ unidentifiedVms: () => undefined });
  assert.ok(!lines.some((line) => line.startsWith('novacron_unidentified_vms')));
});

test('what a VM may have is not made up where it could not be read', async () => {
  const lines = await render({ vms: () => [{ ...sampleVm('web', 'unknown'), isRead: false }] });
  assertHas(lines, 'novacron_vm_total{phase="unknown"} 1');
  assert.ok(!lines.some((line) => line.startsWith('novacron_vm_memory_limit_bytes{')));
});

test('an ended migration of this node is counted once, with its measured downtime', async () => {
  const lines = await render(
    { activeMigrations: (role) => (role === 'source' ? 2 : 1) },
    (metrics) => {
      metrics.migrations.ended(sampleMigration({}));
      metrics.migrations.ended(sampleMigration({ role: 'destination' }));
      metrics.migrations.ended(sampleMigration({ phase: 'failed', result: undefined }));
    },
  );
  assertHas(
    lines,
    'novacron_migration_total{result="completed"} 1',
    'novacron_migration_total{result="failed"} 1',
    'novacron_migration_total{result="cancelled"} 0',
    'novacron_migration_active{role="source"} 2',
    'novacron_migration_active{role="destination"} 1',
    'novacron_migration_downtime_seconds_sum 0.042',
    'novacron_migration_downtime_seconds_bucket{le="0.05"} 1',
    'novacron_migration_downtime_seconds_bucket{le="0.02"} 0',
    'novacron_migration_duration_seconds_count 1',
    // The failed one had moved 5 bytes on the wire when it failed.
    'novacron_migration_wire_bytes_total 1005',
  );
});

test('what could not be measured of a migration is not counted as 0', async () => {
  const result = {
    totalMs: undefined,
    downtimeMs: undefined,
    memoryProcessedBytes: undefined,
    wireBytes: undefined,
    iterations: undefined,
    reconnects: undefined,
  };
  const lines = await render({}, ({ migrations }) => migrations.ended(sampleMigration({ result })));
  assertHas(
    lines,
    'novacron_migration_total{result="completed"} 1',
    'novacron_migration_duration_seconds_count 0',
    'novacron_migration_downtime_seconds_count 0',
  );
});

test('a migration that goes on counts for nothing', async () => {
  const going: Migration = sampleMigration({ phase: 'copying' });
  const lines = await render({}, (metrics) => metrics.migrations.ended(going));
  assertHas(lines, 'novacron_migration_wire_bytes_total 0');
});

test('calls are counted with the name of their status', async () => {
  const lines = await render({}, ({ rpc, hypervisor }) => {
    rpc.callStarted('GetNode');
    rpc.callStarted('GetNode');
    rpc.callEnded({ method: 'GetNode', code: 0, durationMs: 3 });
    rpc.callEnded({ method: 'GetNode', code: 14, durationMs: 3 });
    hypervisor.callEnded('list', 'HYPERVISOR_TIMEOUT');
  });
  assertHas(
    lines,
    'novacron_grpc_requests_total{method="GetNode",code="OK"} 1',
    'novacron_grpc_requests_total{method="GetNode",code="UNAVAILABLE"} 1',
    'novacron_grpc_requests_in_flight{method="GetNode"} 0',
    'novacron_hypervisor_calls_total{call="list",outcome="HYPERVISOR_TIMEOUT"} 1',
    'novacron_agent_info{version="1.2.3"} 1',
  );
});

test('what is left to be done is exported for each controller', async () => {
  const lines = await render({
    controllers: () => [
      {
        name: 'run-strategies',
        depth: 3,
        waiting: 2,
        oldestAgeMs: 1_500,
        failing: 2,
        retries: 7,
        lastError: 'Cannot start VM web',
      },
    ],
  });
  assertHas(
    lines,
    'novacron_controller_depth{controller="run-strategies"} 3',
    'novacron_controller_oldest_age_seconds{controller="run-strategies"} 1.5',
    'novacron_controller_failing_vms{controller="run-strategies"} 2',
    'novacron_controller_retries_total{controller="run-strategies"} 7',
  );
});

test('what a node says of itself is exported: its conditions, its disk, the VMs that should run and do not', async () => {
  const condition = {
    type: 'StorageHealthy',
    status: 'false',
    reason: 'Full',
    message: '',
    lastTransitionAtMs: 0,
    observedGeneration: 1,
  } as const;
  const waits = { ...condition, type: 'RunStrategyFulfilled', reason: 'WaitsForMemory' };
  const vm = { ...sampleVm('web', 'stopped'), conditions: [waits] };
  assertHas(
    await render({
      vms: () => [vm, sampleVm('db', 'stopped')],
      nodeConditions: () => [condition],
      storageAvailableBytes: () => 0,
      certificate: () => ({
        reason: 'Valid',
        message: '',
        expiresAtMs: 1_500,
        lifetimeMs: 2_500,
      }),
    }),
    'novacron_node_condition{condition="StorageHealthy",status="false"} 1',
    'novacron_node_condition{condition="StorageHealthy",status="true"} 0',
    'novacron_node_storage_available_bytes 0',
    'novacron_node_certificate_expiry_timestamp_seconds 1.5',
    'novacron_node_certificate_lifetime_seconds 2.5',
    'novacron_vms_down{reason="WaitsForMemory"} 1',
  );
});
