import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Condition, ConditionStatus } from '../../../../src/agent/reports/report.ts';
import type { VmPhase } from '../../../../src/agent/vms/vm.ts';
import { type ConditionFacts, conditionsOf } from '../../../../src/agent/vms/vm-conditions.ts';
import type { RunStrategy } from '../../../../src/core/resources/virtual-machine.ts';
import { volume } from '../../../../src/core/resources/volume.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import { tinyVm } from '../../../fixtures/tiny-vm.ts';
import { apply, manifestOf } from './manifests.ts';
import { never, newRequest, OneNode, refOf } from './one-node.ts';
import { runEnded, vmContext } from './vm-context.ts';

const FOR_RESTART = { waitsFor: 'restart', sinceMs: undefined, problem: undefined } as const;

const MIGRATION = {
  id: 'm-7',
  targetNode: 'b',
  startedAtMs: 1,
  fractionDone: 0.5,
  waitsFor: '',
  isQueued: false,
};

function facts(changes: Partial<ConditionFacts> = {}): ConditionFacts {
  return {
    isRead: true,
    definition: tinyVm({ generation: 3 }),
    state: { phase: 'running', reason: 'Booted', message: '' },
    context: vmContext(),
    pendingChanges: [],
    drift: [],
    isStray: false,
    hasDiskLeases: false,
    ...changes,
  };
}

/** A running VM with a spec changed in some fields. */
function having(spec: Partial<VmDefinition['spec']>): ConditionFacts {
  const definition = tinyVm({ generation: 3 });
  return facts({ definition: { ...definition, spec: { ...definition.spec, ...spec } } });
}

const disk = (name: string, changes: object = {}) =>
  volume.parse({ name, format: 'raw', source: { file: { path: `/images/${name}` } }, ...changes });

function withVolumes(...volumes: readonly ReturnType<typeof disk>[]): ConditionFacts {
  const { template } = tinyVm().spec;
  return having({ template: { spec: { ...template.spec, volumes: [...volumes] } } });
}

function pick(conditions: readonly Condition[], type: string): Condition {
  const found = conditions.filter((condition) => condition.type === type);
  assert.equal(found.length, 1, type);
  return found[0] as Condition;
}

function newerMessage(fields: string): string {
  return `A newer agent has given it what this one does not know: ${fields}. It can be started, stopped and moved, not changed; upgrade this node's agent`;
}

/** Those that have nothing to do with whether it runs. */
function lasting(conditions: readonly Condition[]): readonly Condition[] {
  const ofRun = ['Ready', 'RunStrategyFulfilled', 'Paused', 'Degraded'];
  return conditions.filter(({ type }) => !ofRun.includes(type));
}

function assertCondition(
  given: ConditionFacts,
  type: string,
  [status, reason, message]: readonly [ConditionStatus, string, string],
): void {
  const condition = pick(conditionsOf(given, []), type);
  assert.deepEqual(
    [condition.status, condition.reason, condition.message],
    [status, reason, message],
  );
  assert.equal(condition.observedGeneration, 3);
}

const READY: Readonly<Record<VmPhase, ConditionStatus>> = {
  pending: 'false',
  running: 'true',
  migrating: 'true',
  paused: 'false',
  stopping: 'false',
  stopped: 'false',
  failed: 'false',
  unknown: 'unknown',
};

test('a VM is ready while its guest can work, and nobody knows while the hypervisor is away', () => {
  for (const [phase, status] of Object.entries(READY) as [VmPhase, ConditionStatus][]) {
    const state = { phase, reason: 'Why', message: 'That is why' };
    assertCondition(facts({ state }), 'Ready', [status, 'Why', 'That is why']);
  }
});

test('a VM says whether its run strategy is fulfilled, and what its start waits for', (t) => {
  const noonMs = Date.UTC(2026, 0, 2, 12);
  t.mock.timers.enable({ apis: ['Date'], now: noonMs });
  const off = (runStrategy: RunStrategy, context: Parameters<typeof vmContext>[0] = {}) => {
    const { definition } = having({ runStrategy });
    const state = { phase: 'stopped', reason: 'GuestShutdown', message: 'Off' } as const;
    const run = runEnded('guest-shutdown');
    const given = { definition: { ...definition, intent: 'on' as const }, state };
    return facts({ ...given, context: vmContext({ run, ...context }) });
  };
  const says = (given: ConditionFacts, ...wanted: [ConditionStatus, string, string]) =>
    assertCondition(given, 'RunStrategyFulfilled', wanted);
  const restart = {
    attempts: 0,
    failedStarts: 0,
    nextStartMs: noonMs + 65_000,
    lastFailure: '',
    lack: undefined,
  };
  says(facts(), 'true', 'Fulfilled', '');
  says(off('Once', { restart }), 'true', 'Fulfilled', '');
  says(off('Always'), 'false', 'Starting', 'It is about to be started');
  says(off('Always', { isBusy: true }), 'false', 'Starting', 'It is being started');
  says(off('Always', { restart }), 'false', 'WaitsToRestart', 'Starts again at 12:01:05Z');
  assertCondition(off('Always', { restart }), 'Ready', [
    'false',
    'GuestShutdown',
    'Off; starts again at 12:01:05Z',
  ]);
  says(
    off('Always', { restart: { ...restart, attempts: 2 } }),
    'false',
    'WaitsToRestart',
    'Starts again at 12:01:05Z, 2 starts did not last',
  );
  says(
    off('Always', { restart: { ...restart, attempts: 1, failedStarts: 1, lastFailure: 'no' } }),
    'false',
    'WaitsToRestart',
    'Starts again at 12:01:05Z, 1 start failed in a row: no',
  );
  says(
    off('Always', { restart: { ...restart, nextStartMs: noonMs } }),
    'false',
    'WaitsForTurn',
    'Starts when those that are older have been started',
  );
  for (const [lack, reason, is] of [
    ['memory', 'WaitsForMemory', 'is memory'],
    ['cpus', 'WaitsForCpus', 'are CPUs of its own'],
    ['hugepages', 'WaitsForHugepages', 'are huge pages'],
  ] as const) {
    const message = `Starts when there ${is} for it, and is tried again at 12:01:05Z`;
    says(off('Always', { restart: { ...restart, lack } }), 'false', reason, message);
  }
  says(
    off('Always', { isNodeGoingDown: true }),
    'false',
    'NodeGoingDown',
    'It is started when its node has booted again, or its shutdown is called off',
  );
  const state = { phase: 'unknown', reason: 'HypervisorUnreachable', message: 'Away' } as const;
  says({ ...off('Always'), state }, 'unknown', 'HypervisorUnreachable', 'Away');
});

test('a spec is applied unless fields of it wait for a start', () => {
  assertCondition(facts(), 'SpecApplied', ['true', 'Applied', '']);
  const fields = ['spec.template.spec.resources.cpu', 'spec.template.spec.kernel'];
  const pendingChanges = fields.map((field) => ({ field, live: 1, wanted: 2, ...FOR_RESTART }));
  assertCondition(facts({ pendingChanges }), 'SpecApplied', [
    'false',
    'WaitsForRestart',
    'In force after the next start: spec.template.spec.resources.cpu, spec.template.spec.kernel',
  ]);
});

test('a VM can be moved live unless it must not be or has a disk of its node', () => {
  const migratable = ['true', 'Migratable', ''] as const;
  assertCondition(facts(), 'LiveMigratable', migratable);
  const reachable = withVolumes(
    disk('root', { shared: true }),
    disk('tools', { readOnly: true }),
    disk('cd', { kind: 'cdrom' }),
  );
  assertCondition(reachable, 'LiveMigratable', migratable);
  const local = withVolumes(disk('root'), disk('home', { shared: true }), disk('scratch'));
  assertCondition(local, 'LiveMigratable', [
    'false',
    'DiskLocal',
    'On storage of this node alone: root, scratch; put them on storage that all nodes reach and mark them shared',
  ]);
  const nvme = withVolumes(disk('root', { shared: true, bus: 'nvme' }));
  assertCondition(nvme, 'LiveMigratable', [
    'false',
    'NvmeDisk',
    'QEMU cannot move NVMe disks: root; put them on the bus virtio or scsi',
  ]);
  const policy = { compression: true, encrypted: true };
  const allowed = having({ migrationPolicy: { ...policy, allowLiveMigration: true } });
  assertCondition(allowed, 'LiveMigratable', migratable);
  const forbidden = having({ migrationPolicy: { ...policy, allowLiveMigration: false } });
  assertCondition(forbidden, 'LiveMigratable', [
    'false',
    'NotAllowed',
    'spec.migrationPolicy.allowLiveMigration is false',
  ]);
  const { template } = facts().definition.spec;
  const alone = having({ template: { spec: { ...template.spec, cpu: { dedicated: true } } } });
  assertCondition(alone, 'LiveMigratable', [
    'false',
    'DedicatedCpus',
    'It has CPUs of this node for itself',
  ]);
});

test('a VM of whose memory some would be lost on the way stays', () => {
  const growing = facts({ lossyMemory: 'growth' });
  assertCondition(growing, 'LiveMigratable', [
    'false',
    'MemoryLost',
    'Of memory that may become more (spec.template.spec.memory.max) QEMU before 9.0 loses changes on the way where it runs VMs without KVM; move it while it is off, or take memory.max out and restart it',
  ]);
});

test('what keeps a VM that runs from being moved is what it runs with, not what waits for its next start', () => {
  const migratable = ['true', 'Migratable', ''] as const;
  const { template } = facts().definition.spec;
  const alone = having({ template: { spec: { ...template.spec, cpu: { dedicated: true } } } });
  const nvme = withVolumes(disk('root', { shared: true, bus: 'nvme' }));
  const virtio = withVolumes(disk('root', { shared: true }));
  const pending = (now: ConditionFacts, next: ConditionFacts) =>
    facts({ definition: next.definition, liveDefinition: now.definition });
  assertCondition(pending(alone, facts()), 'LiveMigratable', [
    'false',
    'DedicatedCpus',
    'It has CPUs of this node for itself',
  ]);
  assertCondition(pending(facts(), alone), 'LiveMigratable', migratable);
  assertCondition(pending(nvme, virtio), 'LiveMigratable', [
    'false',
    'NvmeDisk',
    'QEMU cannot move NVMe disks: root; put them on the bus virtio or scsi',
  ]);
  assertCondition(pending(virtio, nvme), 'LiveMigratable', migratable);
});

test('a VM that a migration takes away says which', () => {
  assertCondition(facts(), 'Migrating', ['false', 'NoMigration', '']);
  const context = vmContext({ migration: MIGRATION });
  assertCondition(facts({ context }), 'Migrating', ['true', 'MigrationActive', 'Migration m-7']);
});

test('only what a newer agent has written is said to be so', () => {
  const types = conditionsOf(facts(), []).map(({ type }) => type);
  assert.deepEqual(types, [
    'Ready',
    'RunStrategyFulfilled',
    'SpecApplied',
    'LiveMigratable',
    'Migrating',
    'Paused',
    'Degraded',
  ]);
  for (const [unknownFields, named] of [
    [['spec.later', 'spec.template.spec.gpus'], 'spec.later, spec.template.spec.gpus'],
    [[], 'its version'],
  ] as const) {
    const definition = tinyVm({ generation: 3, newer: { manifest: '{}', unknownFields } });
    assertCondition(facts({ definition }), 'NewerSpec', [
      'true',
      'UnknownFields',
      newerMessage(named),
    ]);
  }
});

test('what only a running VM has from a newer agent is said too', () => {
  const liveDefinition = tinyVm({ newer: { manifest: '{}', unknownFields: [] } });
  assertCondition({ ...facts(), liveDefinition }, 'NewerSpec', [
    'true',
    'UnknownFields',
    newerMessage('its version'),
  ]);
  const newer = { manifest: '{', unknownFields: [], isDamaged: true } as const;
  const types = conditionsOf({ ...facts(), liveDefinition: tinyVm({ newer }) }, []);
  assert.ok(!types.some(({ type }) => ['NewerSpec', 'DamagedSpec'].includes(type)));
});

test('a manifest that is damaged is said to be, and nothing of what stands in for it', () => {
  const newer = { manifest: '{', unknownFields: ['spec'], isDamaged: true } as const;
  const damaged = facts({ definition: tinyVm({ name: 'web', generation: 3, newer }) });
  assertCondition(damaged, 'DamagedSpec', [
    'true',
    'CannotBeRead',
    'The manifest that libvirt keeps with it is damaged and cannot be read. It can be started, stopped and moved, not changed; shut it down, delete it with novactl vm delete test/web and create it anew from a manifest; its disks stay',
  ]);
  for (const type of ['SpecApplied', 'LiveMigratable']) {
    assertCondition(damaged, type, ['unknown', 'NotRead', 'Its manifest cannot be read']);
  }
  assert.ok(!conditionsOf(damaged, []).some(({ type }) => type === 'NewerSpec'));
});

test('a condition keeps its time until its status changes, whatever else does', (t) => {
  t.mock.timers.enable({ apis: ['Date'], now: 1_000 });
  const first = conditionsOf(facts(), []);
  assert.ok(first.every(({ lastTransitionAtMs }) => lastTransitionAtMs === 1_000));

  t.mock.timers.setTime(2_000);
  const definition = tinyVm({ generation: 4 });
  const state = { phase: 'running', reason: 'Unpaused', message: 'Other words' } as const;
  const second = conditionsOf(facts({ definition, state }), first);
  assert.ok(second.every(({ lastTransitionAtMs }) => lastTransitionAtMs === 1_000));
  assert.ok(second.every(({ observedGeneration }) => observedGeneration === 4));
  assert.equal(pick(second, 'Ready').reason, 'Unpaused');

  t.mock.timers.setTime(3_000);
  const failed = { phase: 'failed', reason: 'Crashed', message: '' } as const;
  const pendingChanges = [{ field: 'spec', live: 1, wanted: 2, ...FOR_RESTART }];
  const third = conditionsOf(facts({ definition, state: failed, pendingChanges }), second);
  assert.deepEqual(
    third.map(({ type, lastTransitionAtMs }) => [type, lastTransitionAtMs]),
    [
      ['Ready', 3_000],
      ['RunStrategyFulfilled', 1_000],
      ['SpecApplied', 3_000],
      ['LiveMigratable', 1_000],
      ['Migrating', 1_000],
      ['Paused', 1_000],
      ['Degraded', 3_000],
    ],
  );

  t.mock.timers.setTime(4_000);
  const newer = { manifest: '{}', unknownFields: [] };
  const fourth = conditionsOf(facts({ definition: { ...definition, newer } }), third);
  assert.equal(pick(fourth, 'Ready').lastTransitionAtMs, 4_000);
  assert.equal(pick(fourth, 'NewerSpec').lastTransitionAtMs, 4_000);
});

test('while the hypervisor is away a VM is not known to be ready, and the rest still holds', async () => {
  await using node = await OneNode.open();
  const request = newRequest();
  await node.create(request);
  const changed = { resources: { cpu: '2', memory: '64Mi' } };
  const { vm: before } = await apply(node, manifestOf(request, { machine: changed }));
  assert.ok(before.conditions.every(({ observedGeneration }) => observedGeneration === 2));
  node.hypervisor.disconnect();
  const away = await node.vms.get(refOf(request), never);
  const { status, reason } = pick(away.conditions, 'Ready');
  assert.deepEqual([status, reason], ['unknown', 'HypervisorUnreachable']);
  assert.equal(pick(away.conditions, 'RunStrategyFulfilled').status, 'unknown');
  assert.deepEqual(lasting(away.conditions), lasting(before.conditions));
  assert.equal(pick(away.conditions, 'SpecApplied').status, 'false');

  node.hypervisor.reconnect();
  const back = await node.vms.get(refOf(request), never);
  assert.equal(pick(back.conditions, 'Ready').status, 'true');
});

const lun = (changes: object = {}) =>
  volume.parse({
    name: 'lun',
    source: { block: { path: '/dev/lun' } },
    shared: true,
    ...changes,
  });

test('a device that several nodes can write to says whether a lock of it holds between them', () => {
  const given = withVolumes(lun(), disk('root', { shared: true }));
  const condition = pick(conditionsOf(given, []), 'DiskLock');
  assert.deepEqual([condition.status, condition.reason], ['false', 'None']);
  assert.match(condition.message, /^No lock of lun holds between nodes.*lock_manager/);
  assertCondition({ ...given, hasDiskLeases: true }, 'DiskLock', [
    'true',
    'Lease',
    'libvirt takes leases for lun',
  ]);
  for (const none of [[], [disk('root', { shared: true })], [lun({ readOnly: true })]] as const) {
    const types = conditionsOf(withVolumes(...none), []).map(({ type }) => type);
    assert.ok(!types.includes('DiskLock'));
  }
  assert.ok(
    !conditionsOf(withVolumes(lun({ shared: false })), []).some(({ type }) => type === 'DiskLock'),
  );
});

test('a VM with devices of this host cannot move, and they are named', () => {
  const given = facts({ boundDevices: ['host device (usb)', 'shared folder docs'] });
  const message =
    'It has what cannot move with it: host device (usb), shared folder docs; detach that with "virsh detach-device", or move it while it is off';
  assertCondition(given, 'LiveMigratable', ['false', 'DeviceBound', message]);
});
