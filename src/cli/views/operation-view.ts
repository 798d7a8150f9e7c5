import { type Operation, OperationKind, OperationState } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import { API_VERSION } from '../../core/resources/api-version.ts';
import {
  type Document,
  durationText,
  enumWord,
  originDocument,
  timestampText,
  withoutEmpty,
} from '../output/documents.ts';
import { formatAge, formatDuration } from '../output/durations.ts';
import { printItem } from '../output/output.ts';
import type { OutputFormat } from '../output/output-format.ts';
import type { ResourceView } from '../output/resource-view.ts';
import { type CliIo, writeBegun } from '../process/cli-io.ts';
import { progressText } from './operation-progress.ts';
import { requestText } from './operation-request.ts';
import type { ChangeWords } from './watch-event.ts';

export function operationKindWord({ kind }: Operation): string {
  return enumWord(OperationKind, 'OPERATION_KIND', kind) ?? 'Unknown';
}

export function operationStateWord({ state }: Operation): string {
  return enumWord(OperationState, 'OPERATION_STATE', state) ?? 'Unknown';
}

/** Empty if it is about the node. */
export function operationVmName({ virtualMachine }: Operation): string {
  if (virtualMachine === undefined) return '';
  return `${virtualMachine.namespace || 'default'}/${virtualMachine.name}`;
}

/** What it is about, in the words of a sentence. */
export function operationSubject(operation: Operation): string {
  const name = operationVmName(operation);
  return name === '' ? 'the node' : `VM ${name}`;
}

export function operationView(nowMs: number): ResourceView<Operation> {
  return {
    columns: [
      { header: 'ID', value: ({ id }) => id },
      { header: 'KIND', value: operationKindWord },
      { header: 'VM', value: operationVmName },
      { header: 'REQUEST', value: requestText },
      { header: 'STATE', value: operationStateWord },
      { header: 'STEP', value: stepText },
      { header: 'AGE', value: (operation) => ageOf(operation, nowMs) },
      { header: 'BY', value: ({ requestedBy }) => requestedBy },
      { header: 'ERROR', value: ({ error }) => error?.reason ?? '' },
      { header: 'TOOK', wide: true, value: took },
      { header: 'RESULT', wide: true, value: ({ result }) => result },
      { header: 'SUPERSEDED BY', wide: true, value: ({ supersededBy }) => supersededBy },
      { header: 'MESSAGE', wide: true, value: messageOf },
    ],
    document: operationDocument,
    name: ({ id }) => id,
  };
}

export const OPERATION_CHANGE_WORDS: ChangeWords<Operation> = {
  name: ({ id }) => id,
  state: changeState,
  message: messageOf,
  document: operationDocument,
};

/** Says that an operation was begun which nobody waits for: by its id, or in the wanted format. */
export async function printBegun(
  io: CliIo,
  output: OutputFormat,
  operation: Operation,
): Promise<void> {
  if (output === 'table') writeBegun(io, `${operation.id}\n`);
  else await printItem(io, output, operationView(Date.now()), operation);
}

/** `default/web Shutdown Running waiting-for-guest`. */
function changeState(operation: Operation): string {
  const parts = [
    operationVmName(operation),
    operationKindWord(operation),
    operationStateWord(operation),
    stepText(operation),
  ];
  return parts.filter((part) => part !== '').join(' ');
}

/** `waiting-for-guest 12s of 5m`. */
function stepText({ step, progress }: Operation): string {
  return [step, progressText(progress)].filter((part) => part !== '').join(' ');
}

function messageOf({ error, progress }: Operation): string {
  return error?.message ?? progress?.message ?? '';
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
  const { virtualMachine, error, progress } = operation;
  return withoutEmpty({
    apiVersion: API_VERSION,
    kind: 'Operation',
    id: operation.id,
    operationKind: operationKindWord(operation),
    virtualMachine: virtualMachine && withoutEmpty({ ...virtualMachine }),
    request: operation.request,
    requestedBy: operation.requestedBy,
    requestTime: timestampText(operation.requestTime),
    startTime: timestampText(operation.startTime),
    endTime: timestampText(operation.endTime),
    state: operationStateWord(operation),
    step: operation.step,
    progress:
      progress &&
      withoutEmpty({
        ...progress,
        waited: durationText(progress.waited),
        timeLeft: durationText(progress.timeLeft),
      }),
    result: operation.result,
    warnings: operation.warnings,
    error: error && withoutEmpty({ ...error }),
    supersededBy: operation.supersededBy,
    origin: originDocument(operation.origin),
  });
}
