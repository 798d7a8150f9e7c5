import type { OperationServiceService } from '../../gen/novacron/agent/v1/operation.ts';
import type { OperationService } from '../operations/operation.ts';
import type { ServiceHandlers } from './bind-service.ts';
import { fromCursor, fromPage, toOrigin } from './common-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import { toOperation, toWatchOperationsResponse } from './operation-conversion.ts';
import { fromVmFilter } from './vm-filter.ts';

/** A page that the caller gives no size for. */
const DEFAULT_PAGE_SIZE = 1_000;

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
      const filter = { ...fromVmFilter(request, checks), activeOnly: request.activeOnly };
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
      const filter = { ...fromVmFilter(request, checks), activeOnly: false };
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
