import { fromVirtualMachineMessage } from '../../client/resource-messages.ts';
import { parseLabelSelector } from '../../core/label-selector.ts';
import { identityOf } from '../../core/resources/parse-virtual-machine.ts';
import type { VirtualMachineRef } from '../../gen/novacron/agent/v1/common.ts';
import type {
  VirtualMachine,
  VirtualMachineServiceService,
} from '../../gen/novacron/agent/v1/virtual_machine.ts';
import type { VmFilter, VmRef, VmService } from '../vms/vm.ts';
import type { ServiceHandlers } from './bind-service.ts';
import type { CallContext } from './call-context.ts';
import { fromCursor, fromPage, fromRef, toOrigin } from './common-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import {
  toApplyResponse,
  toVirtualMachine,
  toWatchResponse,
  vmFields,
} from './virtual-machine-conversion.ts';

// The API's limit of GetConsoleLogResponse.data.
const MAX_CONSOLE_CHUNK_BYTES = 64 * 1024;

export function virtualMachineHandlers(
  vms: VmService,
): ServiceHandlers<VirtualMachineServiceService> {
  return {
    async createVirtualMachine(request, context) {
      const { dryRun, reservationId } = request;
      const manifest = readManifest(request.virtualMachine, dryRun, context);
      const options = { dryRun, reservationId: reservationId || undefined };
      const { vm, warnings } = await vms.create(manifest, options, context.signal);
      return { virtualMachine: toVirtualMachine(vm), warnings: [...warnings] };
    },

    async applyVirtualMachine(request, context) {
      const { dryRun } = request;
      const checks = new FieldChecks();
      const generation =
        request.generation === undefined
          ? undefined
          : checks.count('generation', request.generation);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot apply a VM');
      const manifest = readManifest(request.virtualMachine, dryRun, context);
      const mask = request.updateMask ?? [];
      const updateMask = mask.length === 0 ? undefined : mask;
      const options = { dryRun, updateMask, generation };
      return toApplyResponse(await vms.apply(manifest, options, context.signal));
    },

    async getVirtualMachine({ ref }, context) {
      const vm = await vms.get(readRef(ref, context), context.signal);
      return { virtualMachine: toVirtualMachine(vm) };
    },

    async listVirtualMachines(request, { signal }) {
      const checks = new FieldChecks();
      const page = fromPage(request, checks);
      const list = await vms.list(readFilter(request, checks), page, signal);
      return {
        virtualMachines: list.items.map(toVirtualMachine),
        origin: toOrigin(list.origin),
        nextPageToken: list.nextToken,
      };
    },

    async *watchVirtualMachines(request, { signal }) {
      const checks = new FieldChecks();
      const cursor = fromCursor(request.cursor, checks);
      for await (const event of vms.watch(readFilter(request, checks), cursor, signal)) {
        yield toWatchResponse(event);
      }
    },

    async startVirtualMachine({ ref }, context) {
      const vm = await vms.start(readRef(ref, context), context.signal);
      return { virtualMachine: toVirtualMachine(vm) };
    },

    async shutdownVirtualMachine({ ref }, context) {
      const vm = await vms.shutdown(readRef(ref, context), context.signal);
      return { virtualMachine: toVirtualMachine(vm) };
    },

    async destroyVirtualMachine({ ref }, context) {
      const vm = await vms.destroy(readRef(ref, context), context.signal);
      return { virtualMachine: toVirtualMachine(vm) };
    },

    async deleteVirtualMachine({ ref, force }, context) {
      await vms.delete(readRef(ref, context), { force }, context.signal);
      return {};
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
  };
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

function readRef(message: VirtualMachineRef | undefined, context: CallContext): VmRef {
  const checks = new FieldChecks();
  const ref = fromRef(message, 'ref', checks);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which VM is meant');
  context.about(vmFields(ref));
  return ref;
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
