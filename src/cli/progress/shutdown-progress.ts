import type { NodeShutdown, VirtualMachineShutdown } from '../../client/api.ts';
import { formatAge } from '../output/durations.ts';
import type { CliOutput } from '../process/cli-io.ts';
import { guestName, guestText, isFinal } from '../views/shutdown-view.ts';
import { TerminalLine } from './terminal-line.ts';

const REDRAW_MS = 1_000;
/** Between two lines of a log in which nothing else happens. */
const LOG_INTERVAL_MS = 10_000;

/** A line for each VM as it is off, and how many are waited for: redrawn on a terminal, elsewhere now and then. */
export class ShutdownProgress implements Disposable {
  readonly #output: CliOutput;
  readonly #line: TerminalLine;
  readonly #timer: NodeJS.Timeout;
  readonly #deadlineMs: number;
  readonly #told = new Set<string>();
  #waiting: readonly VirtualMachineShutdown[] = [];

  constructor(output: CliOutput, leftMs: number) {
    this.#output = output;
    this.#line = new TerminalLine(output);
    // The node's clock may be another one.
    this.#deadlineMs = performance.now() + leftMs;
    const intervalMs = output.isTTY ? REDRAW_MS : LOG_INTERVAL_MS;
    this.#timer = setInterval(() => this.#draw(), intervalMs);
  }

  show({ virtualMachines }: NodeShutdown): void {
    const before = this.#waiting.length;
    this.#waiting = virtualMachines.filter((guest) => !isFinal(guest));
    for (const guest of virtualMachines) {
      const name = guestName(guest);
      if (isFinal(guest) && !this.#told.has(name)) {
        this.#told.add(name);
        this.note(guestText(guest));
      }
    }
    if (this.#output.isTTY || this.#waiting.length > before) this.#draw();
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
    if (this.#waiting.length === 0) return;
    const text = waitingText(this.#waiting, this.#deadlineMs - performance.now());
    if (this.#output.isTTY) this.#line.draw(text);
    else this.#line.note(text);
  }
}

const MOST_NAMES = 5;

function waitingText(waiting: readonly VirtualMachineShutdown[], leftMs: number): string {
  const names = waiting.slice(0, MOST_NAMES).map(guestName).join(', ');
  const others = waiting.length > MOST_NAMES ? ' and others' : '';
  const left = leftMs > 0 ? `${formatAge(leftMs)} left` : 'power is being cut';
  return `Waiting for ${waiting.length} ${waiting.length === 1 ? 'VM' : 'VMs'}, ${left}: ${names}${others}`;
}
