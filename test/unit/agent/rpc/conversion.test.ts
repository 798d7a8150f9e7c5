import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { NO_PROGRESS } from '../../../../src/agent/migration/progress.ts';
import { fromPage } from '../../../../src/agent/rpc/common-conversion.ts';
import { FieldChecks } from '../../../../src/agent/rpc/field-checks.ts';
import {
  fromMigrationSpec,
  toMigration,
  toPlan,
} from '../../../../src/agent/rpc/migration-conversion.ts';
import { toNode } from '../../../../src/agent/rpc/node-conversion.ts';
import {
  fromDuration,
  fromTimestamp,
  toTimestamp,
} from '../../../../src/agent/rpc/time-conversion.ts';
import {
  toApplyResponse,
  toVirtualMachine,
} from '../../../../src/agent/rpc/virtual-machine-conversion.ts';
import { knownFigures } from '../../../../src/client/known-figures.ts';
import { fromVirtualMachineMessage } from '../../../../src/client/resource-messages.ts';
import { toDuration } from '../../../../src/client/time.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import { parseVirtualMachine } from '../../../../src/core/resources/parse-virtual-machine.ts';
import { Migration, MigrationSpec } from '../../../../src/gen/novacron/agent/v1/migration.ts';
import { Node } from '../../../../src/gen/novacron/agent/v1/node.ts';
import {
  ApplyVirtualMachineResponse,
  CreateVirtualMachineRequest,
  VirtualMachine,
  VirtualMachinePhase,
} from '../../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { MIGRATION_SPEC, makeMigration } from '../../../fakes/fake-migration-service.ts';
import { NODE } from '../../../fakes/fake-node-service.ts';
import { makeVm, VM_UID } from '../../../fakes/fake-vm-service.ts';
import { wrong } from './field-violations.ts';

const FOR_RESTART = { waitsFor: 'restart', sinceMs: undefined, problem: undefined } as const;

/** As a client reads it. */
function readVm(...made: Parameters<typeof makeVm>): VirtualMachine {
  return VirtualMachine.decode(VirtualMachine.encode(toVirtualMachine(makeVm(...made))).finish());
}

test('a VM is told with its manifest, what is defined of it, and what it uses of what it has', () => {
  const vm = readVm('web', {
    pendingChanges: [
      { field: 'spec.template.spec.resources.memory', live: '1Gi', wanted: '2Gi', ...FOR_RESTART },
    ],
    migration: {
      id: 'm',
      targetNode: 'node-b',
      startedAtMs: 1_000,
      fractionDone: 0.579,
      waitsFor: '',
      isQueued: false,
    },
  });
  const { definition } = makeVm('web');
  const { metadata, spec, status } = fromVirtualMachineMessage(vm);
  assert.deepEqual(spec, definition.spec);
  assert.equal(metadata?.generation, 1);
  assert.equal(metadata.creationTimestamp, new Date(definition.createdAtMs).toISOString());
  assert.equal(vm.status?.phase, VirtualMachinePhase.VIRTUAL_MACHINE_PHASE_RUNNING);
  assert.deepEqual(status?.resources, {
    cpu: { used: '250m', available: '2' },
    memory: { used: '412Mi', available: '512Mi' },
  });
  assert.deepEqual(status.pendingFields, ['spec.template.spec.resources.memory']);
  assert.equal(status.migration?.progress, 57);
  assert.equal(status.observedGeneration, 1);
  assert.equal(status.conditions?.[0]?.observedGeneration, 1);
  assert.equal(status.nodeName, 'node-a');
  assert.equal(status.statistics?.cpuTimeNs, Number.MAX_SAFE_INTEGER);
});

test('what waits for the next start is told field by field, not set apart from empty', () => {
  const pendingChanges = [
    { field: 'spec.template.spec.kernel.initrd', live: undefined, wanted: '/boot/initrd' },
    { field: 'spec.template.spec.kernel.commandLine', live: 'quiet', wanted: '' },
    {
      field: 'spec.template.spec.volumes[1]',
      live: { name: 'b', serial: undefined },
      wanted: undefined,
    },
    { field: 'spec.template.spec.volumes[0].bootOrder', live: 1, wanted: 2 },
  ];
  const { status } = fromVirtualMachineMessage(
    readVm('web', { pendingChanges: pendingChanges.map((one) => ({ ...one, ...FOR_RESTART })) }),
  );
  const { waitsFor } = FOR_RESTART;
  assert.deepEqual(status?.pendingChanges, [
    { field: 'spec.template.spec.kernel.initrd', wanted: '/boot/initrd', waitsFor },
    { field: 'spec.template.spec.kernel.commandLine', live: 'quiet', wanted: '', waitsFor },
    { field: 'spec.template.spec.volumes[1]', live: { name: 'b' }, waitsFor },
    { field: 'spec.template.spec.volumes[0].bootOrder', live: 1, wanted: 2, waitsFor },
  ]);
  assert.deepEqual(status.pendingFields?.length, 4);
});

test('user data are shown to nobody, only their digest', () => {
  const machine = { resources: { cpu: '1', memory: '1Gi' }, userData: 'password: secret' };
  const shown = readVm('web', {}, { spec: { template: { spec: machine } } });
  const digest = createHash('sha256').update('password: secret').digest('hex');
  assert.equal(shown.spec?.template?.spec?.userData, `sha256:${digest}`);
});

test('a VM that is off or cannot be asked uses nothing, not even 0', () => {
  const { status } = readVm('web', { statistics: undefined, accelerator: undefined });
  assert.equal(status?.resources, undefined);
  assert.equal(status?.statistics, undefined);
  assert.equal(status?.accelerator, '');
});

test('a VM of which nothing could be read can be told', () => {
  const spec = { template: { spec: { resources: { cpu: '1', memory: '0' } } } };
  assert.equal(readVm('web', {}, { spec }).spec?.template?.spec?.resources?.memory, '0');
});

test('a VM whose definition could not be read is told without a spec, which would be made up', () => {
  const { metadata, spec, status } = readVm(
    'web',
    { isRead: false, phase: 'unknown', reason: 'NotRead' },
    { generation: 0, labels: {} },
  );
  assert.equal(spec, undefined);
  assert.deepEqual(
    [metadata?.name, metadata?.generation, metadata?.creationTimestamp],
    ['web', 0n, undefined],
  );
  assert.deepEqual([status?.reason, status?.ownershipEpoch], ['NotRead', 3n]);
});

test('changes are told as JSON, with what is not set as nothing', () => {
  const response = toApplyResponse(
    {
      vm: makeVm('web'),
      outcome: 'changed',
      warnings: ['It is rounded up'],
      changes: [
        {
          field: 'spec.template.spec.machineType',
          before: undefined,
          after: 'q35',
          effect: 'next-start',
        },
        { field: 'metadata.labels', before: { a: 'b' }, after: undefined, effect: 'now' },
      ],
    },
    undefined,
  );
  const bytes = ApplyVirtualMachineResponse.encode(response).finish();
  const { changes, warnings } = ApplyVirtualMachineResponse.decode(bytes);
  assert.deepEqual(changes, [
    { field: 'spec.template.spec.machineType', before: '', after: '"q35"', effect: 2 },
    { field: 'metadata.labels', before: '{"a":"b"}', after: '', effect: 1 },
  ]);
  assert.deepEqual(warnings, ['It is rounded up']);
});

test('a migration can be written, whatever is odd in it', () => {
  const odd = makeMigration({
    progress: {
      ...makeMigration().progress,
      iteration: Number.NaN,
      memoryRemainingBytes: -1n,
      estimatedMsLeft: Number.POSITIVE_INFINITY,
      stalledMs: 0.5,
      channels: [{ name: 'memory', totalBytes: 3n, processedBytes: 2n, remainingBytes: 1n }],
    },
  });
  const { progress } = Migration.decode(Migration.encode(toMigration(odd)).finish()).status ?? {};
  assert.equal(progress?.iteration, 0);
  assert.equal(progress.memoryRemainingBytes, 0n);
  assert.deepEqual(progress.stalled, { seconds: 0n, nanos: 500_000 });
  assert.equal(progress.channels[0]?.processedBytes, 2n);
  assert.equal(
    toPlan({ blockers: [], images: [], transport: 'stream', memoryBytes: 1.5 }).memoryBytes,
    1n,
  );
});

test('VMs of nobody knows whom are part of the node', () => {
  const vm = { hypervisorName: 'default_web', uid: VM_UID, memoryBytes: undefined };
  const { status } = Node.decode(Node.encode(toNode({ ...NODE, unidentifiedVms: [vm] })).finish());
  assert.deepEqual(status?.unidentifiedVirtualMachines, [
    { hypervisorName: 'default_web', uid: VM_UID },
  ]);
});

test("a node's amounts are quantities by resource", () => {
  const { status, spec, metadata } = Node.decode(Node.encode(toNode(NODE)).finish());
  assert.equal(status?.hypervisor?.connected, false);
  assert.deepEqual(status.capacity, { cpu: '4', memory: '8Gi', 'hugepages-2Mi': '0' });
  assert.deepEqual(status.allocatable, { cpu: '3500m', memory: '7Gi', 'hugepages-2Mi': '0' });
  assert.deepEqual(spec, { cordon: false, cordonReason: '' });
  assert.equal(metadata?.generation, 1n);
});

const WIRE = { downtime: { seconds: 0n, nanos: 20_000_000 }, wireBytes: 0n };

test('what is not known of a migration is named, and what is known is not, 0 or not', () => {
  const result = {
    totalMs: undefined,
    downtimeMs: 20,
    memoryProcessedBytes: undefined,
    wireBytes: 0n,
    iterations: undefined,
    reconnects: 0,
  };
  const migration = makeMigration({ result, progress: { ...NO_PROGRESS, wireBytes: 3n } });
  const { status } = Migration.decode(Migration.encode(toMigration(migration)).finish());
  assert.partialDeepStrictEqual(status?.result, { totalTime: undefined, ...WIRE });
  assert.deepEqual(status?.result?.unknown, ['total_time', 'memory_processed_bytes', 'iterations']);
  assert.ok(status.result);
  assert.deepEqual(knownFigures(status.result), {
    totalTime: undefined,
    memoryProcessedBytes: undefined,
    iterations: undefined,
    reconnects: 0,
    ...WIRE,
  });
  assert.deepEqual(status.progress?.unknown, [
    'memory_total_bytes',
    'memory_processed_bytes',
    'memory_remaining_bytes',
    'memory_bytes_per_second',
    'dirty_bytes_per_second',
    'iteration',
    'estimated_time_left',
    'stalled',
  ]);
  const { progress } = toMigration(makeMigration()).status ?? {};
  assert.equal(progress?.unknown, undefined);
});

test('what was asked of a migration comes back from it', () => {
  const message = toMigration(makeMigration());
  assert.equal(message.spec?.limits?.bandwidth, '250Mbps');
  assert.deepEqual(message.labels, { reason: 'drain' });
  const checks = new FieldChecks();
  assert.deepEqual(fromMigrationSpec(message.spec, checks), MIGRATION_SPEC);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot');
});

const migrationWrong = (change: Parameters<typeof MigrationSpec.fromPartial>[0]) =>
  wrong((checks) =>
    fromMigrationSpec(
      MigrationSpec.fromPartial({
        virtualMachine: { name: 'web' },
        destination: { nodeName: 'node-b' },
        ...change,
      }),
      checks,
    ),
  );

test('the limits of a migration are checked', () => {
  assert.deepEqual(migrationWrong({}), []);
  assert.deepEqual(migrationWrong({ virtualMachine: undefined }), ['spec.virtualMachine']);
  assert.deepEqual(migrationWrong({ destination: undefined }), ['spec.destination']);
  for (const address of ['b', '0.0.0.0:7443', 'fd00::2:7443', '[fe80::1%eth0]:7443', 'b:0']) {
    assert.deepEqual(migrationWrong({ destination: { nodeName: 'b', address } }), [
      'spec.destination.address',
    ]);
  }
  for (const maxDowntime of [
    { seconds: 0n, nanos: 0 },
    { seconds: 61n, nanos: 0 },
    { seconds: -1n, nanos: 0 },
    { seconds: 1n, nanos: -5 },
    { seconds: 0n, nanos: 2_000_000_000 },
    { seconds: 2n ** 62n, nanos: 0 },
  ]) {
    assert.deepEqual(migrationWrong({ limits: { maxDowntime } }), ['spec.limits.maxDowntime']);
  }
  assert.deepEqual(migrationWrong({ limits: { timeout: { seconds: 10n ** 9n } } }), [
    'spec.limits.timeout',
  ]);
  for (const bandwidth of ['fast', '1Gi', '-1bps']) {
    assert.deepEqual(migrationWrong({ limits: { bandwidth } }), ['spec.limits.bandwidth']);
  }
});

test('what is to be trusted is named once, by names that volumes can have', () => {
  assert.deepEqual(migrationWrong({ trustShared: ['root', 'vdb'] }), []);
  assert.deepEqual(migrationWrong({ trustShared: ['root', '/srv/a'] }), ['spec.trustShared[1]']);
  const many = Array.from({ length: 257 }, (_, at) => `v${at}`);
  assert.deepEqual(migrationWrong({ trustShared: many }), ['spec.trustShared']);
  const spec = MigrationSpec.fromPartial({
    virtualMachine: { name: 'web' },
    destination: { nodeName: 'node-b' },
    trustShared: ['root', 'root'],
  });
  assert.deepEqual(fromMigrationSpec(spec, new FieldChecks()).trustedVolumes, ['root']);
});

const pageWrong = (pageSize: number) =>
  wrong((checks) => fromPage({ pageSize, pageToken: '' }, checks));

test('a page has at most 1000 objects', () => {
  assert.deepEqual(pageWrong(0), []);
  assert.deepEqual(pageWrong(1_000), []);
  assert.deepEqual(pageWrong(1_001), ['pageSize']);
});

test('names, uids and labels are checked by the rules of the manifest', () => {
  const fields = wrong((checks) => {
    checks.dnsLabel('ref.name', 'Web');
    checks.uuid('id', '00000000-0000-0000-0000-000000000000');
    checks.labels('labels', { 'b c': 'd', 'a.b/c': 'd', ok: '' });
    checks.labels(
      'labels',
      Object.fromEntries(Array.from({ length: 65 }, (_, at) => [`k${at}`, ''])),
    );
  });
  assert.deepEqual(fields, ['ref.name', 'id', 'labels["b c"]', 'labels']);
});

test('milliseconds survive as durations and times', () => {
  fc.assert(
    fc.property(fc.integer({ min: -(10 ** 13), max: 10 ** 13 }), (milliseconds) => {
      assert.equal(fromDuration(toDuration(milliseconds)), milliseconds);
      assert.equal(fromTimestamp(toTimestamp(milliseconds)), milliseconds);
    }),
  );
});

test('no bytes make a manifest fail otherwise than with an error of ours', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      let request: CreateVirtualMachineRequest;
      try {
        request = CreateVirtualMachineRequest.decode(bytes);
      } catch {
        return;
      }
      const vm = request.virtualMachine ?? VirtualMachine.create();
      try {
        parseVirtualMachine(fromVirtualMachineMessage(vm));
      } catch (error) {
        assert.ok(error instanceof AgentError, String(error));
      }
    }),
    { numRuns: 2_000 },
  );
});
