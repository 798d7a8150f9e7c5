import type { VirtualMachineRef } from '../../gen/novacron/agent/v1/common.ts';
import type { OperationServiceService } from '../../gen/novacron/agent/v1/operation.ts';
import type { OperationFilter, OperationService } from '../operations/operation.ts';
import type { ServiceHandlers } from './bind-service.ts';
import { fromCursor, fromPage, fromRef, toOrigin } from './common-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import { toOperation, toWatchOperationsResponse } from './operation-conversion.ts';

/** A page that the caller gives no size for. */
const DEFAULT_PAGE_SIZE = 1_000;

interface FilterMessage {
  readonly virtualMachine: VirtualMachineRef | undefined;
  readonly namespace: string;
}

export function operationHandlers(
  operations: OperationService,
): ServiceHandlers<OperationServiceService> {
  return {
    async getOperation(request, { signal }) {
      const checks = new FieldChecks();
      const id = checks.uuid('id', request.id);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which operation is meant');
      return { operation: toOperation(await operations.get(id, signal)) };
    },

    async listOperations(request, { signal }) {
      const checks = new FieldChecks();
      const page = fromPage(request, checks);
      const filter = readFilter(request, request.activeOnly, checks);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot list operations');
      const size = page.size === 0 ? DEFAULT_PAGE_SIZE : page.size;
      const list = await operations.list(filter, { ...page, size }, signal);
      return {
        operations: list.items.map(toOperation),
        origin: toOrigin(list.origin),
        nextPageToken: list.nextToken,
      };
    },

    async *watchOperations(request, { signal }) {
      const checks = new FieldChecks();
      const cursor = fromCursor(request.cursor, checks);
      const id = checks.optionalUuid('id', request.id);
      const filter = readFilter(request, false, checks);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot watch operations');
      for await (const event of operations.watch({ ...filter, id }, cursor, signal)) {
        yield toWatchOperationsResponse(event);
      }
    },

    async cancelOperation(request, context) {
      const checks = new FieldChecks();
      const id = checks.uuid('id', request.id);
      checks.throwIfAny('INVALID_REQUEST', 'Cannot tell which operation is meant');
      context.about({ operationId: id });
      return { operation: toOperation(await operations.cancel(id, context.signal)) };
    },
  };
}

/** A uid alone is enough: the VM may be gone, and its name another's. */
function readFilter(
  { virtualMachine: ref, namespace: within }: FilterMessage,
  activeOnly: boolean,
  checks: FieldChecks,
): OperationFilter {
  const all = { vmUid: undefined, vmName: undefined, namespace: undefined, activeOnly };
  if (ref === undefined) {
    return within === '' ? all : { ...all, namespace: checks.dnsLabel('namespace', within) };
  }
  if (within !== '') checks.add('namespace', 'cannot be given together with virtualMachine');
  const uid = checks.optionalUuid('virtualMachine.uid', ref.uid);
  if (uid !== undefined) return { ...all, vmUid: uid };
  const { namespace, name } = fromRef(ref, 'virtualMachine', checks);
  return { ...all, vmName: { namespace, name } };
}
