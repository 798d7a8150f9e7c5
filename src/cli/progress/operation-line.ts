import { type Operation, OperationKind } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import { formatAge } from '../output/durations.ts';
import { printable } from '../output/table.ts';
import type { CliOutput } from '../process/cli-io.ts';
import { progressText } from '../views/operation-progress.ts';
import { operationSubject } from '../views/operation-view.ts';
import { TerminalLine } from './terminal-line.ts';

const REDRAW_MS = 1_000;

/** What is being done and for how long: one redrawn line on a terminal, elsewhere nothing. */
export class OperationLine implements Disposable {
  readonly #line: TerminalLine;
  readonly #timer: NodeJS.Timeout | undefined;
  #operation: Operation | undefined;
  /** By the clock that nobody sets. */
  #shownAtMs = 0;

  constructor(output: CliOutput) {
    this.#line = new TerminalLine(output);
    if (output.isTTY) this.#timer = setInterval(() => this.#draw(), REDRAW_MS);
  }

  show(operation: Operation): void {
    this.#operation = operation;
    this.#shownAtMs = performance.now();
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
    const sinceMs = performance.now() - this.#shownAtMs;
    this.#line.draw(operationLineText(this.#operation, Date.now(), sinceMs));
  }
}

const DOING: Readonly<Record<number, string>> = {
  [OperationKind.OPERATION_KIND_CREATE]: 'Creating',
  [OperationKind.OPERATION_KIND_APPLY]: 'Changing',
  [OperationKind.OPERATION_KIND_ADOPT]: 'Adopting',
  [OperationKind.OPERATION_KIND_START]: 'Starting',
  [OperationKind.OPERATION_KIND_SHUTDOWN]: 'Shutting down',
  [OperationKind.OPERATION_KIND_DESTROY]: 'Cutting the power of',
  [OperationKind.OPERATION_KIND_SUSPEND]: 'Suspending',
  [OperationKind.OPERATION_KIND_RESUME]: 'Resuming',
  [OperationKind.OPERATION_KIND_RESET]: 'Resetting',
  [OperationKind.OPERATION_KIND_REBOOT]: 'Rebooting',
  [OperationKind.OPERATION_KIND_RESTART]: 'Restarting',
  [OperationKind.OPERATION_KIND_EJECT]: 'Ejecting a medium of',
  [OperationKind.OPERATION_KIND_INSERT]: 'Inserting a medium into',
  [OperationKind.OPERATION_KIND_DELETE]: 'Deleting',
  [OperationKind.OPERATION_KIND_MIGRATE]: 'Migrating',
  [OperationKind.OPERATION_KIND_CORDON]: 'Cordoning',
  [OperationKind.OPERATION_KIND_UNCORDON]: 'Uncordoning',
};

/** `Shutting down VM default/web: waiting for guest, 12s of 5m`; `sinceMs` ago that was how it stood. */
export function operationLineText(operation: Operation, nowMs: number, sinceMs = 0): string {
  const { kind, step, progress, requestTime } = operation;
  const ageMs = requestTime === undefined ? 0 : nowMs - timestampMs(requestTime);
  const isTimed = progress?.waited !== undefined;
  const parts = [
    step === '' ? 'pending' : step.replaceAll('-', ' '),
    progressText(progress, sinceMs),
    isTimed ? '' : formatAge(ageMs),
    progress?.message ?? '',
  ].filter((part) => part !== '');
  const doing = DOING[kind] ?? 'Working on';
  return printable(`${doing} ${operationSubject(operation)}: ${parts.join(', ')}`);
}
