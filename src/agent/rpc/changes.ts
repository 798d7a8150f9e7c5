import {
  type OperationRequest,
  type OperationService,
  type Submission,
  subjectText,
} from '../operations/operation.ts';
import type { CallContext } from './call-context.ts';
import { FieldChecks } from './field-checks.ts';

/** What a call asks for. */
export type Asked = Pick<OperationRequest, 'kind' | 'vm' | 'parameters'>;

/** Asks for a change. A caller that names the operation follows it by that; any other waits for it here. */
export function changes(operations: OperationService) {
  return async (asked: Asked, operationId: string, context: CallContext): Promise<Submission> => {
    const checks = new FieldChecks();
    const id = checks.optionalUuid('operationId', operationId);
    checks.throwIfAny('INVALID_REQUEST', `Cannot ${asked.kind} ${subjectText(asked)}`);
    const requestedBy = context.caller.identity;
    const isAwaited = id === undefined;
    const request = { ...asked, id, requestedBy, isAwaited };
    const begun = await operations.submit(request, context.signal);
    context.about({ operationId: begun.operation.id });
    if (!isAwaited) return begun;
    return await operations.untilDone(begun, context.signal);
  };
}
