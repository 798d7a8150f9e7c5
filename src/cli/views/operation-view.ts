import { type Operation, OperationKind, OperationState } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import { API_VERSION } from '../../core/resources/virtual-machine.ts';
import {
  type Document,
  enumWord,
  originDocument,
  timestampText,
  withoutEmpty,
} from '../output/documents.ts';
import { formatAge, formatDuration } from '../output/durations.ts';
import { printItem } from '../output/output.ts';
import type { OutputFormat } from '../output/output-format.ts';
import type { ResourceView } from '../output/resource-view.ts';
import type { CliIo } from '../process/cli-io.ts';
import type { ChangeWords } from './watch-event.ts';

export function operationKindWord({ kind }: Operation): string {
  return enumWord(OperationKind, 'OPERATION_KIND', kind) ?? 'Unknown';
}

export function operationStateWord({ state }: Operation): string {
  return enumWord(OperationState, 'OPERATION_STATE', state) ?? 'Unknown';
}

export function operationVmName({ virtualMachine }: Operation): string {
  return `${virtualMachine?.namespace || 'default'}/${virtualMachine?.name ?? ''}`;
}

export function operationView(nowMs: number): ResourceView<Operation> {
  return {
    columns: [
      { header: 'ID', value: ({ id }) => id },
      { header: 'KIND', value: operationKindWord },
      { header: 'VM', value: operationVmName },
      { header: 'STATE', value: operationStateWord },
      { header: 'STEP', value: ({ step }) => step },
      { header: 'AGE', value: (operation) => ageOf(operation, nowMs) },
      { header: 'BY', value: ({ requestedBy }) => requestedBy },
      { header: 'ERROR', value: ({ error }) => error?.reason ?? '' },
      { header: 'TOOK', wide: true, value: took },
      { header: 'RESULT', wide: true, value: ({ result }) => result },
      { header: 'SUPERSEDED BY', wide: true, value: ({ supersededBy }) => supersededBy },
      { header: 'MESSAGE', wide: true, value: ({ error }) => error?.message ?? '' },
    ],
    document: operationDocument,
    name: ({ id }) => id,
  };
}

export const OPERATION_CHANGE_WORDS: ChangeWords<Operation> = {
  name: ({ id }) => id,
  state: changeState,
  message: ({ error }) => error?.message ?? '',
  document: operationDocument,
};

/** Says that an operation was begun which nobody waits for: by its id, or in the wanted format. */
export function printBegun(io: CliIo, output: OutputFormat, operation: Operation): void {
  const format = output === 'table' ? 'name' : output;
  printItem(io, format, operationView(Date.now()), operation);
}

/** `default/web Shutdown Running waiting-for-guest`. */
function changeState(operation: Operation): string {
  const parts = [
    operationVmName(operation),
    operationKindWord(operation),
    operationStateWord(operation),
    operation.step,
  ];
  return parts.filter((part) => part !== '').join(' ');
}

function ageOf({ requestTime }: Operation, nowMs: number): string {
  return requestTime === undefined ? '' : formatAge(nowMs - timestampMs(requestTime));
}

function took({ requestTime, endTime }: Operation): string {
  if (requestTime === undefined || endTime === undefined) return '';
  return formatDuration(timestampMs(endTime) - timestampMs(requestTime));
}

/** `kind` is that of the document. */
export function operationDocument(operation: Operation): Document {
  const { virtualMachine, error } = operation;
  return withoutEmpty({
    apiVersion: API_VERSION,
    kind: 'Operation',
    id: operation.id,
    operationKind: operationKindWord(operation),
    virtualMachine: virtualMachine && withoutEmpty({ ...virtualMachine }),
    requestedBy: operation.requestedBy,
    requestTime: timestampText(operation.requestTime),
    startTime: timestampText(operation.startTime),
    endTime: timestampText(operation.endTime),
    state: operationStateWord(operation),
    step: operation.step,
    result: operation.result,
    error: error && withoutEmpty({ ...error }),
    supersededBy: operation.supersededBy,
    origin: originDocument(operation.origin),
  });
}
