import { type Operation, OperationKind } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import { formatAge } from '../output/durations.ts';
import { printable } from '../output/table.ts';
import type { CliOutput } from '../process/cli-io.ts';
import { operationVmName } from '../views/operation-view.ts';
import { TerminalLine } from './terminal-line.ts';

const REDRAW_MS = 1_000;

/** What is being done and for how long: one redrawn line on a terminal, elsewhere nothing. */
export class OperationLine implements Disposable {
  readonly #line: TerminalLine;
  readonly #timer: NodeJS.Timeout | undefined;
  #operation: Operation | undefined;

  constructor(output: CliOutput) {
    this.#line = new TerminalLine(output);
    if (output.isTTY) this.#timer = setInterval(() => this.#draw(), REDRAW_MS);
  }

  show(operation: Operation): void {
    this.#operation = operation;
    this.#draw();
  }

  /** A message of its own; the line goes on below it. */
  note(text: string): void {
    this.#line.note(text);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#line.erase();
  }

  #draw(): void {
    if (this.#timer === undefined || this.#operation === undefined) return;
    this.#line.draw(operationLineText(this.#operation, Date.now()));
  }
}

const DOING: Readonly<Record<number, string>> = {
  [OperationKind.OPERATION_KIND_CREATE]: 'Creating',
  [OperationKind.OPERATION_KIND_APPLY]: 'Changing',
  [OperationKind.OPERATION_KIND_START]: 'Starting',
  [OperationKind.OPERATION_KIND_SHUTDOWN]: 'Shutting down',
  [OperationKind.OPERATION_KIND_DESTROY]: 'Cutting the power of',
  [OperationKind.OPERATION_KIND_DELETE]: 'Deleting',
  [OperationKind.OPERATION_KIND_MIGRATE]: 'Migrating',
};

/** `Shutting down VM default/web: waiting for guest, 12s`. */
export function operationLineText(operation: Operation, nowMs: number): string {
  const { kind, step, requestTime } = operation;
  const ageMs = requestTime === undefined ? 0 : nowMs - timestampMs(requestTime);
  const what = step === '' ? 'pending' : step.replaceAll('-', ' ');
  const doing = DOING[kind] ?? 'Working on';
  return printable(`${doing} VM ${operationVmName(operation)}: ${what}, ${formatAge(ageMs)}`);
}
