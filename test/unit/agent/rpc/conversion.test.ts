import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FieldChecks } from '../../../../src/agent/rpc/field-checks.ts';
import {
  fromMigrationSpec,
  toMigration,
  toPlan,
} from '../../../../src/agent/rpc/migration-conversion.ts';
import { toNode } from '../../../../src/agent/rpc/node-conversion.ts';
import {
  fromIncomingBlocker,
  fromIncomingFields,
  fromIncomingReport,
  toIncomingFields,
} from '../../../../src/agent/rpc/peer-conversion.ts';
import {
  fromDuration,
  fromTimestamp,
  toTimestamp,
} from '../../../../src/agent/rpc/time-conversion.ts';
import {
  fromCreateRequest,
  toVirtualMachine,
} from '../../../../src/agent/rpc/virtual-machine-conversion.ts';
import { fromSpec, toSpec } from '../../../../src/agent/rpc/vm-spec-conversion.ts';
import { toDuration } from '../../../../src/client/time.ts';
import { AgentError } from '../../../../src/core/errors.ts';
import type { VmSpec } from '../../../../src/core/vm-spec.ts';
import { Migration, MigrationSpec } from '../../../../src/gen/novacron/agent/v1/migration.ts';
import { Node } from '../../../../src/gen/novacron/agent/v1/node.ts';
import {
  CheckIncomingRequest,
  GetIncomingResponse,
} from '../../../../src/gen/novacron/agent/v1/peer.ts';
import {
  CreateVirtualMachineRequest,
  type DeepPartial,
  VirtualMachine,
  VirtualMachineSpec,
} from '../../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { MIGRATION_SPEC, makeMigration } from '../../../fakes/fake-migration-service.ts';
import { NODE } from '../../../fakes/fake-node-service.ts';
import { makeVm } from '../../../fakes/fake-vm-service.ts';

/** What is wrong, by field; nothing if all is well. */
function wrong(convert: (checks: FieldChecks) => unknown): string[] {
  const checks = new FieldChecks();
  try {
    convert(checks);
    checks.throwIfAny('INVALID_REQUEST', 'Cannot');
    return [];
  } catch (error) {
    assert.ok(error instanceof AgentError, String(error));
    return error.violations.map(({ field }) => field);
  }
}

const good: DeepPartial<VirtualMachineSpec> = {
  cpu: { vcpus: 1 },
  memory: { sizeBytes: 64n * 1024n ** 2n },
};

const specWrong = (change: DeepPartial<VirtualMachineSpec>) =>
  wrong((checks) =>
    fromSpec(VirtualMachineSpec.fromPartial({ ...good, ...change }), 'spec', checks),
  );

const disk = { name: 'root', target: 'vda', format: 2, path: '/a' } as const;

const options = { noNullPrototype: true };

const specs: fc.Arbitrary<VmSpec> = fc.record(
  {
    powerState: fc.constantFrom('running', 'stopped'),
    cpu: fc.record(
      { vcpus: fc.integer({ min: 1, max: 512 }), model: fc.constantFrom(undefined, 'host-model') },
      options,
    ),
    memory: fc.record(
      { sizeBytes: fc.integer({ min: 16, max: 2 ** 32 }).map((mib) => mib * 2 ** 20) },
      options,
    ),
    boot: fc.constantFrom<VmSpec['boot'][]>(
      { kind: 'firmware', firmware: 'bios' },
      { kind: 'firmware', firmware: 'uefi' },
      { kind: 'kernel', kernelPath: '/k', initrdPath: undefined, commandLine: '' },
      { kind: 'kernel', kernelPath: '/k', initrdPath: '/i', commandLine: 'console=ttyS0 "a b"' },
    ),
    disks: fc.array(
      fc.record(
        {
          name: fc.constantFrom('root', 'data'),
          target: fc.constantFrom('vda', 'sdb'),
          bus: fc.constantFrom('virtio', 'scsi', 'sata'),
          format: fc.constantFrom('raw', 'qcow2'),
          path: fc.constant('/var/lib/ä.img'),
          readOnly: fc.boolean(),
          shared: fc.boolean(),
          bootOrder: fc.constantFrom(undefined, 1, 7),
          cache: fc.constantFrom('none', 'writeback', 'writethrough', 'directsync'),
        },
        options,
      ),
      { maxLength: 26 },
    ),
    machineType: fc.constantFrom(undefined, 'q35'),
  },
  options,
);

test('every spec survives the wire and back', () => {
  fc.assert(
    fc.property(specs, (spec) => {
      const bytes = VirtualMachineSpec.encode(toSpec(spec)).finish();
      const checks = new FieldChecks();
      assert.deepEqual(fromSpec(VirtualMachineSpec.decode(bytes), 'spec', checks), spec);
      checks.throwIfAny('INVALID_SPEC', 'Cannot');
    }),
  );
});

test('what is left out takes the defaults that the API states', () => {
  const spec = fromSpec(
    VirtualMachineSpec.fromPartial({ ...good, disks: [disk] }),
    'spec',
    new FieldChecks(),
  );
  assert.equal(spec.powerState, 'running');
  assert.deepEqual(spec.boot, { kind: 'firmware', firmware: 'bios' });
  assert.deepEqual([spec.disks[0]?.bus, spec.disks[0]?.cache], ['virtio', 'none']);
  assert.equal(spec.disks[0]?.bootOrder, undefined);
});

for (const [title, change, fields] of [
  ['no cpu', { cpu: undefined }, ['spec.cpu']],
  ['no memory', { memory: undefined }, ['spec.memory']],
  ['no vcpus', { cpu: { vcpus: 0 } }, ['spec.cpu.vcpus']],
  ['too many vcpus', { cpu: { vcpus: 513 } }, ['spec.cpu.vcpus']],
  ['odd memory', { memory: { sizeBytes: 2n ** 25n + 1n } }, ['spec.memory.size_bytes']],
  ['little memory', { memory: { sizeBytes: 2n ** 20n } }, ['spec.memory.size_bytes']],
  ['a model with a line end', { cpu: { vcpus: 1, model: 'a\nb' } }, ['spec.cpu.model']],
  ['an unknown power state', { powerState: 9 as never }, ['spec.power_state']],
  ['a negative power state', { powerState: -1 }, ['spec.power_state']],
  ['no disk format', { disks: [{ ...disk, format: 0 }] }, ['spec.disks[0].format']],
  ['an unknown bus', { disks: [disk, { ...disk, bus: 4 as never }] }, ['spec.disks[1].bus']],
  ['a relative path', { disks: [{ ...disk, path: 'a' }] }, ['spec.disks[0].path']],
  ['a path with NUL', { disks: [{ ...disk, path: '/a\0b' }] }, ['spec.disks[0].path']],
  ['27 disks', { disks: Array.from({ length: 27 }, () => disk) }, ['spec.disks']],
  [
    'a kernel without a path',
    { boot: { method: { $case: 'kernel', value: { commandLine: 'x'.repeat(2_049) } } } },
    ['spec.boot.kernel.kernel_path', 'spec.boot.kernel.command_line'],
  ],
  [
    'an unknown firmware',
    { boot: { method: { $case: 'firmware', value: 7 as never } } },
    ['spec.boot.firmware'],
  ],
] satisfies [string, DeepPartial<VirtualMachineSpec>, string[]][]) {
  test(`a spec with ${title} is refused by its field`, () => {
    assert.deepEqual([...new Set(specWrong(change))], fields);
  });
}

test('memory beyond 2^53 is refused, not rounded', () => {
  assert.ok(specWrong({ memory: { sizeBytes: 2n ** 60n } }).includes('spec.memory.size_bytes'));
});

const metadataWrong = (metadata: object) =>
  wrong(() =>
    fromCreateRequest(
      CreateVirtualMachineRequest.fromPartial({ virtualMachine: { metadata, spec: good } }),
    ),
  );

test('metadata is checked by the rules of Kubernetes', () => {
  assert.deepEqual(metadataWrong({ name: 'web' }), []);
  assert.deepEqual(metadataWrong({ name: 'web', labels: { 'a.b/c': 'd', e: '' } }), []);
  assert.deepEqual(metadataWrong({ name: 'Web' }), ['virtual_machine.metadata.name']);
  assert.deepEqual(metadataWrong({ name: 'a'.repeat(64) }), ['virtual_machine.metadata.name']);
  assert.deepEqual(metadataWrong({ name: 'a', namespace: '../b' }), [
    'virtual_machine.metadata.namespace',
  ]);
  assert.deepEqual(metadataWrong({ name: 'a', uid: 'B' }), ['virtual_machine.metadata.uid']);
  assert.deepEqual(metadataWrong({ name: 'a', labels: { 'b c': 'd' } }), [
    'virtual_machine.metadata.labels[b c]',
  ]);
  assert.deepEqual(metadataWrong({ name: 'a', annotations: { b: 'x'.repeat(65 * 1024) } }), [
    'virtual_machine.metadata.annotations',
  ]);
});

test('a VM, a migration and a node can be written, whatever is missing in them', () => {
  const vm = toVirtualMachine(makeVm('a', { statistics: undefined, accelerator: undefined }));
  assert.equal(VirtualMachine.decode(VirtualMachine.encode(vm).finish()).status?.accelerator, '');
  const odd = makeMigration({
    progress: {
      ...makeMigration().progress,
      iteration: Number.NaN,
      memoryRemainingBytes: -1n,
      estimatedMsLeft: Number.POSITIVE_INFINITY,
      stalledMs: 0.5,
    },
  });
  const { progress } = Migration.decode(Migration.encode(toMigration(odd)).finish()).status ?? {};
  assert.equal(progress?.iteration, 0);
  assert.equal(progress?.memoryRemainingBytes, 0n);
  assert.deepEqual(progress?.stalled, { seconds: 0n, nanos: 500_000 });
  const node = Node.decode(Node.encode(toNode(NODE)).finish());
  assert.equal(node.status?.hypervisor?.connected, false);
  assert.equal(toPlan({ blockers: [], transport: 'stream', memoryBytes: 1.5 }).memoryBytes, 1n);
});

test('what was asked of a migration comes back from it', () => {
  const message = toMigration(makeMigration()).spec;
  const checks = new FieldChecks();
  assert.deepEqual(fromMigrationSpec(message, checks), MIGRATION_SPEC);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot');
});

const migrationWrong = (change: DeepPartial<MigrationSpec>) =>
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
  assert.deepEqual(migrationWrong({ virtualMachine: undefined }), ['spec.virtual_machine']);
  assert.deepEqual(migrationWrong({ destination: undefined }), ['spec.destination']);
  assert.deepEqual(migrationWrong({ destination: { nodeName: 'b', address: 'b' } }), [
    'spec.destination.address',
  ]);
  for (const maxDowntime of [
    { seconds: 0n, nanos: 0 },
    { seconds: 61n, nanos: 0 },
    { seconds: -1n, nanos: 0 },
    { seconds: 1n, nanos: -5 },
    { seconds: 0n, nanos: 2_000_000_000 },
    { seconds: 2n ** 62n, nanos: 0 },
  ]) {
    assert.deepEqual(migrationWrong({ policy: { maxDowntime } }), ['spec.policy.max_downtime']);
  }
  assert.deepEqual(migrationWrong({ policy: { timeout: { seconds: 10n ** 9n } } }), [
    'spec.policy.timeout',
  ]);
  assert.deepEqual(migrationWrong({ policy: { bandwidthBytesPerSecond: 2n ** 53n } }), [
    'spec.policy.bandwidth_bytes_per_second',
  ]);
});

test('a VM crosses from peer to peer as it is', () => {
  const incoming = {
    definition: makeVm('web').definition,
    machineType: 'pc-q35-7.2',
    accelerator: undefined,
    sourceHostUuid: 'host',
    sourceQemuVersion: '7.2.22',
  };
  const bytes = CheckIncomingRequest.encode(toIncomingFields(incoming)).finish();
  const checks = new FieldChecks();
  assert.deepEqual(fromIncomingFields(CheckIncomingRequest.decode(bytes), checks), incoming);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot');
});

test('an incoming VM without what it must have is refused by field', () => {
  const fields = wrong((checks) =>
    fromIncomingFields(
      CheckIncomingRequest.fromPartial({
        incoming: { virtualMachine: { status: { accelerator: 'xen' } }, ownershipEpoch: 2n ** 63n },
      }),
      checks,
    ),
  );
  for (const field of [
    'incoming.virtual_machine.metadata',
    'incoming.virtual_machine.metadata.uid',
    'incoming.virtual_machine.metadata.create_time',
    'incoming.virtual_machine.spec',
    'incoming.virtual_machine.status.accelerator',
    'incoming.ownership_epoch',
  ]) {
    assert.ok(fields.includes(field), `${field} in ${fields.join()}`);
  }
});

test('what only a newer peer knows makes us careful', () => {
  const report = GetIncomingResponse.create({ state: 99 as never, ownershipEpoch: 1n });
  assert.equal(fromIncomingReport(report).state, 'unknown');
  const blocker = { reason: 'FROM_THE_FUTURE', message: 'No', subject: '' };
  assert.equal(fromIncomingBlocker(blocker).reason, 'MIGRATION_BLOCKED');
});

test('milliseconds survive as durations and times', () => {
  fc.assert(
    fc.property(fc.integer({ min: -(10 ** 13), max: 10 ** 13 }), (milliseconds) => {
      assert.equal(fromDuration(toDuration(milliseconds)), milliseconds);
      assert.equal(fromTimestamp(toTimestamp(milliseconds)), milliseconds);
    }),
  );
});

test('no bytes make a handler fail otherwise than with an error of ours', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      let request: CreateVirtualMachineRequest;
      try {
        request = CreateVirtualMachineRequest.decode(bytes);
      } catch {
        return;
      }
      wrong(() => fromCreateRequest(request));
    }),
    { numRuns: 2_000 },
  );
});
