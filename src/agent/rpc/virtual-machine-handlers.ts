import { fromVirtualMachineMessage } from '../../client/resource-messages.ts';
import { hasReason } from '../../core/errors.ts';
import { parseLabelSelector } from '../../core/label-selector.ts';
import { identityOf } from '../../core/resources/parse-virtual-machine.ts';
import { MAX_OWNERSHIP_EPOCH } from '../../core/vm-definition.ts';
import type { Duration } from '../../gen/google/protobuf/duration.ts';
import type {
  VirtualMachine,
  VirtualMachineServiceService,
} from '../../gen/novacron/agent/v1/virtual_machine.ts';
import type { Operation, OperationService } from '../operations/operation.ts';
import type { GivenSecrets } from '../vms/given-secrets.ts';
import type {
  AdoptRequest,
  ApplyResult,
  CreateResult,
  Vm,
  VmFilter,
  VmService,
} from '../vms/vm.ts';
import type { ServiceHandlers } from './bind-service.ts';
import type { CallContext } from './call-context.ts';
import { type Asked, changes } from './changes.ts';
import { fromCursor, fromPage } from './common-conversion.ts';
import { EncodedVms } from './encoded-vms.ts';
import { FieldChecks } from './field-checks.ts';
import { toOperation } from './operation-conversion.ts';
import { fromBoundedDuration } from './time-conversion.ts';
import { toApplyResponse, toVirtualMachine, vmFields } from './virtual-machine-conversion.ts';
import { readRef } from './virtual-machine-ref.ts';

// The API's limit of GetConsoleLogResponse.data.
const MAX_CONSOLE_CHUNK_BYTES = 64 * 1024;
const SHUTDOWN_TIMEOUT = { minMs: 1_000, maxMs: 24 * 3_600_000 };

export function virtualMachineHandlers(vms: VmService, operations: OperationService) {
  const change = changes(operations);
  const encoded = new EncodedVms();
  /** Of an operation that was asked for before, the VM may not be there yet, or no more. */
  const find = async ({ vm }: Operation, { signal }: CallContext): Promise<Vm | undefined> => {
    try {
      return await vms.get(vm, signal);
    } catch (error) {
      if (hasReason(error, 'VM_NOT_FOUND', 'VM_UID_MISMATCH')) return undefined;
      throw error;
    }
  };
  const power = async (asked: Asked, operationId: string, context: CallContext) => {
    const { operation } = await change(asked, operationId, context);
    const vm = await find(operation, context);
    return { virtualMachine: vm && toVirtualMachine(vm), operation: toOperation(operation) };
  };
  return {
    async createVirtualMachine(request, context) {
      const { dryRun, operationId } = request;
      const ownershipEpoch = readOwnershipEpoch(request.ownershipEpoch);
      const manifest = readManifest(request.virtualMachine, dryRun, context);
      const reservationId = request.reservationId || undefined;
      const secrets = readSecrets(request.secrets);
      const options = { reservationId, ownershipEpoch, ...(secrets && { secrets }) };
      const parameters = { manifest, ...options };
      const asked = { kind: 'create', vm: identityOf(manifest), parameters } as const;
      if (dryRun) {
        const { vm, warnings } = await vms.create(manifest, { ...options, dryRun }, context.signal);
        operations.assertNotInTheWay(asked, vm.definition);
        return {
          virtualMachine: toVirtualMachine(vm),
          warnings: [...warnings],
          operation: undefined,
        };
      }
      const { operation, details } = await change(asked, operationId, context);
      const made = details as CreateResult | undefined;
      const vm = made?.vm ?? (await find(operation, context));
      return {
        virtualMachine: vm && toVirtualMachine(vm),
        warnings: [...(made?.warnings ?? [])],
        operation: toOperation(operation),
      };
    },

    async applyVirtualMachine(request, context) {
      const { dryRun, operationId } = request;
      const checks = new FieldChecks();
      const generation =
        request.generation === undefined
          ? undefined
          : checks.count('generation', request.generation);
      const { guestTimeout } = request;
      const guestTimeoutMs = fromBoundedDuration(
        guestTimeout,
        'guest_timeout',
        SHUTDOWN_TIMEOUT,
        checks,
      );
      checks.throwIfAny('INVALID_REQUEST', 'Cannot apply a VM');
      const manifest = readManifest(request.virtualMachine, dryRun, context);
      const mask = request.updateMask ?? [];
      const updateMask = mask.length === 0 ? undefined : mask;
      const secrets = readSecrets(request.secrets);
      const options = {
        updateMask,
        generation,
        ...(secrets && { secrets }),
        ...(guestTimeoutMs !== undefined && { guestTimeoutMs }),
      };
      if (dryRun) {
        const planned = await vms.apply(manifest, { ...options, dryRun }, context.signal);
        return toApplyResponse(planned, undefined);
      }
      const { operation, details } = await change(
        { kind: 'apply', vm: identityOf(manifest), parameters: { manifest, ...options } },
        operationId,
        context,
      );
      const applied = (details as ApplyResult | undefined) ?? {
        vm: await find(operation, context),
        outcome: undefined,
        changes: [],
        warnings: [],
      };
      return toApplyResponse(applied, operation);
    },

    async adoptVirtualMachine({ domain, name, namespace, dryRun, operationId }, context) {
      const request = readAdoption({ domain, name, namespace });
      const { vm } = request;
      context.about({ ...vmFields(vm), domain, ...(dryRun && { dryRun: 1 }) });
      const asked = { kind: 'adopt', vm, parameters: { domain } } as const;
      if (dryRun) {
        const planned = await vms.planAdoption(request, context.signal);
        operations.assertNotInTheWay(asked, planned.vm.definition);
        const warnings = [...planned.warnings];
        return { virtualMachine: toVirtualMachine(planned.vm), warnings, operation: undefined };
      }
      const { operation, details } = await change(asked, operationId, context);
      const adopted = details as CreateResult | undefined;
      const found = adopted?.vm ?? (await find(operation, context));
      return {
        virtualMachine: found && toVirtualMachine(found),
        warnings: [...(adopted?.warnings ?? [])],
        operation: toOperation(operation),
      };
    },

    async getVirtualMachine({ ref, measureDisks }, context) {
      const vm = await vms.get(readRef(ref, context), context.signal);
      return encoded.get(measureDisks === true ? await vms.measure(vm, context.signal) : vm);
    },

    async listVirtualMachines(request, { signal }) {
      const checks = new FieldChecks();
      const page = fromPage(request, checks);
      const list = await vms.list(readFilter(request, checks), page, signal);
      return encoded.list(list);
    },

    async *watchVirtualMachines(request, { signal }) {
      const checks = new FieldChecks();
      const cursor = fromCursor(request.cursor, checks);
      for await (const event of vms.watch(readFilter(request, checks), cursor, signal)) {
        yield encoded.event(event);
      }
    },

    async startVirtualMachine({ ref, operationId, dryRun }, context) {
      const asked = { kind: 'start', vm: readRef(ref, context), parameters: {} } as const;
      if (!dryRun) return await power(asked, operationId, context);
      context.about({ dryRun: 1 });
      const vm = await vms.get(await operations.plan(asked, context.signal), context.signal);
      return { virtualMachine: toVirtualMachine(vm), operation: undefined };
    },

    shutdownVirtualMachine(request, context) {
      const parameters = readTimeout(request.timeout, 'Cannot shut a VM down');
      const vm = readRef(request.ref, context);
      return power({ kind: 'shutdown', vm, parameters }, request.operationId, context);
    },

    destroyVirtualMachine: ({ ref, operationId }, context) =>
      power({ kind: 'destroy', vm: readRef(ref, context), parameters: {} }, operationId, context),

    suspendVirtualMachine: ({ ref, operationId }, context) =>
      power({ kind: 'suspend', vm: readRef(ref, context), parameters: {} }, operationId, context),

    resumeVirtualMachine: ({ ref, operationId }, context) =>
      power({ kind: 'resume', vm: readRef(ref, context), parameters: {} }, operationId, context),

    resetVirtualMachine: ({ ref, operationId }, context) =>
      power({ kind: 'reset', vm: readRef(ref, context), parameters: {} }, operationId, context),

    rebootVirtualMachine({ ref, timeout, operationId }, context) {
      const parameters = readTimeout(timeout, 'Cannot reboot a VM');
      const asked = { kind: 'reboot', vm: readRef(ref, context), parameters } as const;
      return power(asked, operationId, context);
    },

    restartVirtualMachine({ ref, timeout, force, operationId }, context) {
      const parameters = { ...readTimeout(timeout, 'Cannot restart a VM'), force };
      if (force) context.about({ force: 1 });
      const asked = { kind: 'restart', vm: readRef(ref, context), parameters } as const;
      return power(asked, operationId, context);
    },

    ejectMedium({ ref, volume, force, operationId }, context) {
      const parameters = { volume: readVolume(volume), force };
      context.about({ volume, ...(force && { force: 1 }) });
      const asked = { kind: 'eject', vm: readRef(ref, context), parameters } as const;
      return power(asked, operationId, context);
    },

    insertMedium({ ref, volume, path, operationId }, context) {
      const parameters = { volume: readVolume(volume), path };
      context.about({ volume, path });
      const asked = { kind: 'insert', vm: readRef(ref, context), parameters } as const;
      return power(asked, operationId, context);
    },

    async deleteVirtualMachine(request, context) {
      const { ref, force, unownedCopy, deleteDisks, operationId } = request;
      const vm = readRef(ref, context);
      context.about({
        ...(force && { force: 1 }),
        ...(unownedCopy && { unownedCopy: 1 }),
        ...(deleteDisks && { deleteDisks: 1 }),
      });
      const asked = {
        kind: 'delete',
        vm,
        parameters: { force, unownedCopy, deleteDisks },
      } as const;
      const { operation } = await change(asked, operationId, context);
      return { operation: toOperation(operation) };
    },

    async *getConsoleLog(request, context) {
      const checks = new FieldChecks();
      const tailBytes = checks.count('tailBytes', request.tailBytes);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot read a console');
      const ref = readRef(request.ref, context);
      const options = { tailBytes, follow: request.follow };
      for await (const data of vms.readConsole(ref, options, context.signal)) {
        for (let at = 0; at < data.length; at += MAX_CONSOLE_CHUNK_BYTES) {
          yield { data: Buffer.from(data.subarray(at, at + MAX_CONSOLE_CHUNK_BYTES)) };
        }
      }
    },
  } satisfies ServiceHandlers<VirtualMachineServiceService>;
}

/** More no hypervisor calls a VM. */
const MAX_DOMAIN_NAME = 255;

/** What a VM can be called the feature says, in words that tell what to do about it. */
function readAdoption(asked: {
  readonly domain: string;
  readonly name: string;
  readonly namespace: string;
}): AdoptRequest {
  const checks = new FieldChecks();
  const domain = checks.text('domain', asked.domain, MAX_DOMAIN_NAME);
  if (domain === '') checks.add('domain', 'is required: the name that libvirt has for it');
  checks.throwIfAny('INVALID_REQUEST', 'Cannot adopt a VM');
  const vm = {
    namespace: asked.namespace || 'default',
    name: asked.name || domain,
    uid: undefined,
  };
  return { domain, vm };
}

function readVolume(volume: string): string {
  const checks = new FieldChecks();
  const name = checks.dnsLabel('volume', volume);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which volume is meant');
  return name;
}

/** How long a guest is waited for. */
function readTimeout(timeout: Duration | undefined, what: string): { readonly timeoutMs?: number } {
  const checks = new FieldChecks();
  const timeoutMs = fromBoundedDuration(timeout, 'timeout', SHUTDOWN_TIMEOUT, checks);
  checks.throwIfAny('INVALID_REQUEST', what);
  return timeoutMs === undefined ? {} : { timeoutMs };
}

/** As far as a definition can hold it. */
function readOwnershipEpoch(epoch: bigint | undefined): number | undefined {
  if (epoch === undefined) return undefined;
  const checks = new FieldChecks();
  const count = checks.count('ownershipEpoch', epoch);
  if (count !== 0 || epoch === 0n) checks.integer('ownershipEpoch', count, 1, MAX_OWNERSHIP_EPOCH);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot create a VM');
  return count;
}

const MAX_SECRETS = 16;
const MAX_SECRET_BYTES = 64 * 1024;

/** Undefined if none were given. */
function readSecrets(given: Readonly<Record<string, Uint8Array>>): GivenSecrets | undefined {
  const entries = Object.entries(given);
  if (entries.length === 0) return undefined;
  const checks = new FieldChecks();
  if (entries.length > MAX_SECRETS) checks.add('secrets', `must be at most ${MAX_SECRETS}`);
  for (const [name, content] of entries) {
    if (content.length <= MAX_SECRET_BYTES) continue;
    checks.add(`secrets[${JSON.stringify(name)}]`, `must have at most ${MAX_SECRET_BYTES} bytes`);
  }
  checks.throwIfAny('INVALID_REQUEST', 'Cannot use the secrets');
  return Object.fromEntries(
    entries.map(([name, content]) => [name, Buffer.from(content).toString('base64')]),
  );
}

/** The VM of a request in the form of a manifest; the feature checks it. */
function readManifest(
  message: VirtualMachine | undefined,
  dryRun: boolean,
  context: CallContext,
): unknown {
  const checks = new FieldChecks();
  const vm = checks.required('virtualMachine', message);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which VM is meant');
  const manifest = vm && fromVirtualMachineMessage(vm);
  context.about({ ...vmFields(identityOf(manifest)), ...(dryRun ? { dryRun: 1 } : {}) });
  return manifest;
}

/** An empty namespace stays empty: it means all. */
function readFilter(
  request: { readonly namespace: string; readonly labelSelector: string },
  checks: FieldChecks,
): VmFilter {
  const namespace = request.namespace === '' ? '' : checks.dnsLabel('namespace', request.namespace);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot choose VMs');
  return { namespace, labels: parseLabelSelector(request.labelSelector) };
}
