import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { status as Code } from '@grpc/grpc-js';
import { AgentError } from '../../../src/core/errors.ts';
import { BadRequest, PreconditionFailure } from '../../../src/gen/google/rpc/error_details.ts';
import {
  ApplyOutcome,
  ApplyVirtualMachineRequest,
  type ApplyVirtualMachineResponse,
  CreateVirtualMachineRequest,
  type CreateVirtualMachineResponse,
  type MachineSpec,
  type VirtualMachine,
} from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { MIGRATION_ID } from '../../fakes/fake-migration-service.ts';
import { call, type Failure, failure, RpcHarness } from './rpc-harness.ts';

let harness: RpcHarness;
let local: ReturnType<RpcHarness['clients']>;

before(async () => {
  harness = await RpcHarness.start();
  local = harness.clients();
});
after(() => harness[Symbol.asyncDispose]());
beforeEach(() => {
  harness.vms.failure = undefined;
  harness.vms.warnings = [];
  harness.vms.changes = [];
});

/** A VM that is accepted, but for what a test changes of its machine. */
const requested = (machine: Parameters<typeof MachineSpec.fromPartial>[0] = {}, name = 'web') => ({
  metadata: { name },
  spec: {
    template: {
      spec: {
        resources: { cpu: '1', memory: '1Gi' },
        kernel: { path: '/boot/vmlinuz' },
        ...machine,
      },
    },
  },
});

const create = (
  virtualMachine: Parameters<typeof VirtualMachine.fromPartial>[0],
  more: {
    readonly dryRun?: boolean;
    readonly reservationId?: string;
    readonly ownershipEpoch?: bigint;
  } = {},
) =>
  call<CreateVirtualMachineRequest, CreateVirtualMachineResponse>(
    (request, callback) => local.vms.createVirtualMachine(request, callback),
    CreateVirtualMachineRequest.fromPartial({ virtualMachine, ...more }),
  );

const apply = (request: Parameters<typeof ApplyVirtualMachineRequest.fromPartial>[0]) =>
  call<ApplyVirtualMachineRequest, ApplyVirtualMachineResponse>(
    (message, callback) => local.vms.applyVirtualMachine(message, callback),
    ApplyVirtualMachineRequest.fromPartial(request),
  );

function packed(failed: Failure, name: string): Uint8Array {
  return failed.details.find(({ typeUrl }) => typeUrl.endsWith(name))?.value ?? Buffer.of();
}

const fieldsOf = (failed: Failure) =>
  BadRequest.decode(packed(failed, 'BadRequest')).fieldViolations.map(({ field }) => field);

test('each violation of a VM is told with its field, as the manifest names it', async () => {
  const source = { source: { $case: 'file', value: { path: 'a' } } } as const;
  const resources = { cpu: '1', memory: 'much' };
  const machine = { resources, volumes: [{ name: 'root', source }] };
  const failed = await failure(create(requested(machine)));
  assert.equal(failed.code, Code.INVALID_ARGUMENT);
  assert.equal(failed.reason, 'INVALID_SPEC');
  const fields = fieldsOf(failed);
  assert.ok(fields.includes('spec.template.spec.resources.memory'));
  assert.ok(fields.includes('spec.template.spec.volumes[0].source.file.path'));
});

test('violations that a feature finds are told as it names them', async () => {
  const field = 'spec.template.spec.volumes[0].source.file.path';
  harness.vms.failure = new AgentError('IMAGE_NOT_FOUND', 'There is no image', {
    violations: [{ field, description: 'does not exist' }],
  });
  const failed = await failure(create(requested()));
  assert.deepEqual(PreconditionFailure.decode(packed(failed, 'PreconditionFailure')).violations, [
    { type: 'IMAGE_NOT_FOUND', subject: field, description: 'does not exist' },
  ]);
});

function lastOptions(): unknown {
  const last = harness.vms.calls.at(-1)?.argument as { readonly options: unknown } | undefined;
  return last?.options;
}

test('an ownership epoch is what a definition can hold, or refused', async () => {
  await create(requested(), { ownershipEpoch: 999_999_999_999_999n });
  assert.partialDeepStrictEqual(lastOptions(), { ownershipEpoch: 999_999_999_999_999 });
  for (const ownershipEpoch of [0n, 1_000_000_000_000_000n, 2n ** 64n - 1n]) {
    const failed = await failure(create(requested(), { ownershipEpoch }));
    assert.equal(failed.reason, 'INVALID_REQUEST');
    assert.deepEqual(fieldsOf(failed), ['ownershipEpoch']);
  }
});

test('what is created comes with its warnings, and uses its reservation up', async () => {
  harness.vms.warnings = ['spec.template.spec.resources.cpu 1500m is rounded up'];
  const made = await create(requested(), { dryRun: true, reservationId: MIGRATION_ID });
  assert.deepEqual(made.warnings, harness.vms.warnings);
  const reserved = { dryRun: true, reservationId: MIGRATION_ID, ownershipEpoch: undefined };
  assert.deepEqual(lastOptions(), reserved);
  await create(requested());
  assert.partialDeepStrictEqual(lastOptions(), { dryRun: false, reservationId: undefined });
});

test('a VM is applied with its mask and its generation, and every change is told', async () => {
  harness.vms.changes = [
    { field: 'metadata.labels', before: undefined, after: { a: 'b' }, effect: 'now' },
  ];
  const updateMask = ['metadata.labels', 'spec.template.spec.user_data'];
  // With a mask, only what it names need be there.
  const virtualMachine = { metadata: { name: 'web', labels: { a: 'b' } } };
  const answer = await apply({ virtualMachine, updateMask, generation: 1n, dryRun: true });
  assert.equal(answer.outcome, ApplyOutcome.APPLY_OUTCOME_CHANGED);
  assert.deepEqual(answer.changes, [
    { field: 'metadata.labels', before: '', after: '{"a":"b"}', effect: 1 },
  ]);
  assert.deepEqual(harness.vms.calls.at(-1)?.argument, {
    manifest: { metadata: { name: 'web', labels: { a: 'b' } } },
    options: { dryRun: true, updateMask, generation: 1 },
  });
});

test('no generation is another thing than generation 0', async () => {
  await apply({ virtualMachine: requested() });
  const failed = await failure(apply({ virtualMachine: requested(), generation: 0n }));
  assert.equal(failed.code, Code.ABORTED);
  assert.equal(failed.reason, 'GENERATION_MISMATCH');
  const negative = await failure(apply({ virtualMachine: requested(), generation: -1n }));
  assert.deepEqual(fieldsOf(negative), ['generation']);
});

test('a request that does not say which VM is meant is refused', async () => {
  assert.equal((await failure(apply({}))).reason, 'INVALID_REQUEST');
  const unnamed = await failure(apply({ virtualMachine: { metadata: { name: '' } } }));
  assert.deepEqual(fieldsOf(unnamed), ['metadata.name']);
});

test('hundreds of violations still reach the caller as a status', async () => {
  const labels = Object.fromEntries(
    Array.from({ length: 500 }, (_, at) => [`bad key ${at}`, 'x'.repeat(200)]),
  );
  const failed = await failure(create({ ...requested(), metadata: { name: 'web', labels } }));
  assert.equal(failed.reason, 'INVALID_SPEC');
  assert.ok(fieldsOf(failed).length > 5);
});
