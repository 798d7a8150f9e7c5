import type { VirtualMachineRef } from '../../gen/novacron/agent/v1/common.ts';
import type { VirtualMachineServiceService } from '../../gen/novacron/agent/v1/virtual_machine.ts';
import type { VmRef, VmService } from '../vms/vm.ts';
import type { ServiceHandlers } from './bind-service.ts';
import type { CallContext } from './call-context.ts';
import { fromCursor, fromRef, toOrigin } from './common-conversion.ts';
import { FieldChecks, underField } from './field-checks.ts';
import { fromLabels } from './metadata-conversion.ts';
import {
  fromCreateRequest,
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
      const { dryRun } = request;
      const wanted = fromCreateRequest(request);
      context.about({ ...vmFields(wanted), ...(dryRun ? { dryRun: 1 } : {}) });
      try {
        const vm = await vms.create(wanted, { dryRun }, context.signal);
        return { virtualMachine: toVirtualMachine(vm) };
      } catch (error) {
        throw underField('virtual_machine', error);
      }
    },

    async getVirtualMachine({ ref }, context) {
      const vm = await vms.get(readRef(ref, context), context.signal);
      return { virtualMachine: toVirtualMachine(vm) };
    },

    async listVirtualMachines(request, { signal }) {
      const checks = new FieldChecks();
      const labels = fromLabels(request.labelSelector, 'label_selector', checks);
      const namespace = readNamespaceFilter(request.namespace, checks);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot list VMs');
      const list = await vms.list({ namespace, labels }, signal);
      return {
        virtualMachines: list.vms.map(toVirtualMachine),
        origin: toOrigin(list.origin),
      };
    },

    async *watchVirtualMachines(request, { signal }) {
      const checks = new FieldChecks();
      const cursor = fromCursor(request.cursor, checks);
      const namespace = readNamespaceFilter(request.namespace, checks);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot watch VMs');
      for await (const event of vms.watch({ namespace, labels: {} }, cursor, signal)) {
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
      const tailBytes = checks.count('tail_bytes', request.tailBytes);
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

function readRef(message: VirtualMachineRef | undefined, context: CallContext): VmRef {
  const checks = new FieldChecks();
  const ref = fromRef(message, 'ref', checks);
  checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which VM is meant');
  context.about(vmFields(ref));
  return ref;
}

/** Empty stays empty: it means all namespaces. */
function readNamespaceFilter(namespace: string, checks: FieldChecks): string {
  return namespace === '' ? '' : checks.dnsLabel('namespace', namespace);
}
