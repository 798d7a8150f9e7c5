import { isHypervisorAway } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import { type QueueState, type Work, WorkQueue } from '../../core/work-queue.ts';
import type { Again, Controller, Look, SeenVm } from './controller.ts';

export interface ReconcilerOptions {
  readonly controllers: readonly Controller[];
  /** What is there, again and again: after every change, and every few seconds if nothing seems to change. */
  readonly looks: (signal: AbortSignal) => AsyncIterable<Look>;
  readonly tasks: TaskGroup;
  readonly log: Logger;
  /** Before the first try after a failure. Default 50 ms. */
  readonly firstDelayMs?: number | undefined;
}

/** How a controller fares. */
export interface ControllerState extends QueueState {
  readonly name: string;
  /** Steps that have failed, each of which is tried again. */
  readonly retries: number;
  /** Why the last step that failed did; empty if none has. */
  readonly lastError: string;
}

const FIRST_DELAY_MS = 50;
const MAX_DELAY_MS = 300_000;
/** Subject of the work of finding out what else there is to be done. */
const NODE = '';
/** A step that hangs holds up its VM alone, and not for ever. */
const STEP_TIMEOUT_MS = 120_000;

/**
 * Has controllers bring about what must stay so. One queue for all of them, with the VMs as its subjects: no two steps are
 * taken on one VM at a time, and a VM at which one controller fails for ever delays neither the others nor other VMs.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #queue: WorkQueue;
  readonly #failures = new Map<string, { count: number; message: string }>();
  /** What has failed because the hypervisor could not be asked. */
  readonly #held = new Map<string, Work>();
  #returns = 0;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    assertOneWriterEach(options.controllers);
    const { firstDelayMs = FIRST_DELAY_MS } = options;
    this.#queue = new WorkQueue({ firstDelayMs, maxDelayMs: MAX_DELAY_MS });
  }

  /** Looks and has steps taken until aborted. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#look(signal), this.#work(signal)]);
  }

  /** Has a controller take a step for a VM at once: something has been asked for that only it knows of. */
  wake(controller: string, vmUid: string): void {
    this.#queue.wake({ worker: controller, subject: vmUid }, 'asked');
  }

  /** In the order of the controllers. */
  states(): readonly ControllerState[] {
    return this.#options.controllers.map(({ name }) => {
      const { count = 0, message = '' } = this.#failures.get(name) ?? {};
      return { name, ...this.#queue.state(name), retries: count, lastError: message };
    });
  }

  async #look(signal: AbortSignal): Promise<void> {
    const { controllers, looks } = this.#options;
    let isFirst = true;
    for await (const { vms, returns } of looks(signal)) {
      if (returns !== this.#returns) this.#release(returns);
      for (const controller of controllers) {
        for (const vm of vms) this.#consider(controller, vm);
        const work = { worker: controller.name, subject: NODE };
        if (isFirst && controller.findOthers !== undefined) this.#queue.add(work, 'unknown');
      }
      isFirst = false;
    }
  }

  /** The hypervisor is back: what waited for it, for up to the longest delay, waits no longer. */
  #release(returns: number): void {
    this.#returns = returns;
    for (const work of this.#held.values()) this.#queue.hasten(work);
    this.#held.clear();
  }

  #consider(controller: Controller, vm: SeenVm): void {
    const work = { worker: controller.name, subject: vm.uid };
    const concern = controller.concern(vm);
    if (concern === undefined) this.#queue.drop(work);
    else this.#queue.add(work, concern);
  }

  async #work(signal: AbortSignal): Promise<void> {
    for (;;) {
      const work = await this.#queue.take(signal);
      // Not bounded here: what the steps have in common is the hypervisor, which takes what it can.
      this.#options.tasks.run(work.worker, () => this.#step(work, signal));
    }
  }

  async #step(work: Work, signal: AbortSignal): Promise<void> {
    const { controllers } = this.#options;
    const { worker: operation, subject: vmId } = work;
    const controller = controllers.find(({ name }) => name === operation);
    if (controller === undefined) throw new Error(`There is no controller ${operation}`);
    const timeout = AbortSignal.timeout(STEP_TIMEOUT_MS);
    const returns = this.#returns;
    this.#held.delete(keyOf(work));
    try {
      const again = await this.#takeStep(controller, vmId, AbortSignal.any([signal, timeout]));
      if (again === undefined) this.#queue.done(work);
      else if (again.failure === undefined) this.#queue.later(work, again.afterMs);
      else this.#failed(work, again.failure, again.afterMs);
    } catch (error) {
      signal.throwIfAborted();
      this.#failed(work, error);
    }
    if (returns !== this.#returns) this.#releaseLate(work);
  }

  /** It has failed for a hypervisor that has come back while it still tried. */
  #releaseLate(work: Work): void {
    if (this.#held.delete(keyOf(work))) this.#queue.hasten(work);
  }

  #failed(work: Work, error: unknown, afterMs?: number): void {
    const { worker: operation, subject: vmId } = work;
    const againInMs = this.#queue.failed(work, afterMs);
    if (isHypervisorAway(error)) this.#held.set(keyOf(work), work);
    const { count = 0 } = this.#failures.get(operation) ?? {};
    const message = error instanceof Error ? error.message : String(error);
    this.#failures.set(operation, { count: count + 1, message });
    this.#options.log.warn(
      { operation, vmId, err: error, againInMs },
      'A VM cannot be brought to what it should be',
    );
  }

  async #takeStep(
    controller: Controller,
    vmUid: string,
    signal: AbortSignal,
  ): Promise<Again | undefined> {
    if (vmUid !== NODE) return controller.reconcile(vmUid, signal);
    for (const uid of (await controller.findOthers?.(signal)) ?? []) {
      this.#queue.add({ worker: controller.name, subject: uid }, 'found');
    }
    return undefined;
  }
}

function keyOf({ worker, subject }: Work): string {
  return `${worker} ${subject}`;
}

/** Two that write the same would undo each other's work for ever. */
function assertOneWriterEach(controllers: readonly Controller[]): void {
  const writers = new Map<string, string>();
  for (const { name, outputs } of controllers) {
    for (const output of outputs) {
      const other = writers.get(output);
      if (other !== undefined) throw new Error(`${other} and ${name} both write ${output}`);
      writers.set(output, name);
    }
  }
}
