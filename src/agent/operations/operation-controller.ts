import { hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { OperationKind, OperationParameters, OperationRecord } from './operation.ts';
import type { OperationBook } from './operation-book.ts';
import { cancelled, toOperationError } from './operation-errors.ts';
import type { OperationWork } from './operation-work.ts';

export interface OperationControllerOptions {
  readonly book: OperationBook;
  readonly works: Readonly<Record<OperationKind, OperationWork>>;
  readonly log: Logger;
}

/** What passes by itself is waited for so long, from when the operation was asked for. */
const PATIENCE_MS = 600_000;

/** Brings about what was asked for, also by callers of an agent that was killed since. */
export class OperationController implements Controller {
  readonly name = 'operations';
  readonly inputs: readonly Input[] = ['operations', 'vms'];
  readonly outputs: readonly Output[] = ['vms'];
  readonly #options: OperationControllerOptions;
  /** Of operations that a step is taken of. */
  readonly #steps = new Map<string, AbortController>();
  /** To be ended after the step that is being taken. */
  readonly #cancelled = new Set<string>();
  /** Of operations that somebody waits for: what they came to, once they are done. */
  readonly #details = new Map<string, unknown>();
  /** As they were given, with what must not be in the journal. */
  readonly #parameters = new Map<string, OperationParameters>();

  constructor(options: OperationControllerOptions) {
    this.#options = options;
  }

  /** The phase is part of it, as what is waited for may have come. */
  concern({ uid, vm }: SeenVm): string | undefined {
    const open = this.#options.book.openOf(uid);
    if (open.length === 0) return undefined;
    return `${open.map(({ id }) => id).join()} ${vm?.phase ?? 'gone'}`;
  }

  /** Those of VMs that are not made yet. */
  async findOthers(): Promise<readonly string[]> {
    return this.#options.book.openVms();
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    let afterMs = Number.POSITIVE_INFINITY;
    for (const operation of this.#options.book.openOf(vmUid)) {
      const again = await this.#step(operation, signal);
      if (again !== undefined) afterMs = Math.min(afterMs, again.afterMs);
    }
    return Number.isFinite(afterMs) ? { afterMs } : undefined;
  }

  /** Has an operation done with its parameters as they were given. */
  keepParameters(id: string, parameters: OperationParameters): void {
    this.#parameters.set(id, parameters);
  }

  /** Has what an operation comes to kept until it is taken. */
  keepDetails(id: string): void {
    this.#details.set(id, undefined);
  }

  /** What an operation has come to beside its result; undefined if it was not kept. */
  takeDetails(id: string): unknown {
    const details = this.#details.get(id);
    this.#details.delete(id);
    return details;
  }

  /**
   * Ends an operation that no step is being taken of. A step of a creation is stopped, and undoes what it has done; of what else
   * the hypervisor has been told nothing can be taken back: it ends as it does, and nothing is done after it.
   */
  async cancel(id: string, kind: OperationKind): Promise<void> {
    const step = this.#steps.get(id);
    if (step === undefined) {
      await this.#endCancelled(id);
    } else if (kind === 'create') step.abort(new Error('cancelled'));
    else this.#cancelled.add(id);
  }

  async #step(operation: OperationRecord, signal: AbortSignal): Promise<Again | undefined> {
    const { book, works, log } = this.#options;
    const { id, kind, vm } = operation;
    const work = works[kind];
    const step = new AbortController();
    this.#steps.set(id, step);
    const isCancelled = (): boolean => step.signal.aborted || this.#cancelled.has(id);
    const about = { operationId: id, operation: kind, vmId: vm.uid };
    try {
      if (isCancelled()) return await this.#endCancelled(id);
      if (operation.step === '') await book.step(id, work.firstStep);
      const { parameters = operation.parameters } = { parameters: this.#parameters.get(id) };
      const given = { ...operation, parameters };
      const result = await work.step(given, AbortSignal.any([signal, step.signal]));
      if (!result.isDone) {
        if (isCancelled()) return await this.#endCancelled(id);
        await book.step(id, result.step);
        return result.again;
      }
      if (this.#details.has(id)) this.#details.set(id, result.details);
      await book.end(id, { state: 'succeeded', result: result.result ?? '' });
      log.info(about, 'Operation done');
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (step.signal.aborted) return await this.#endCancelled(id);
      if (passes(error) && Date.now() - operation.requestedAtMs < PATIENCE_MS) throw error;
      const state = hasReason(error, 'MIGRATION_CANCELLED') ? 'cancelled' : 'failed';
      log.warn({ ...about, err: error }, 'Operation failed');
      await book.end(id, { state, error: toOperationError(error) });
      return undefined;
    } finally {
      this.#steps.delete(id);
      if (book.open(id) === undefined) {
        this.#parameters.delete(id);
        this.#cancelled.delete(id);
      }
    }
  }

  async #endCancelled(id: string): Promise<undefined> {
    await this.#options.book.end(id, { state: 'cancelled', error: cancelled(id) });
  }
}

/** Whether a failure ends by itself, so that the step is worth trying again. */
function passes(error: unknown): boolean {
  return hasReason(
    error,
    'HYPERVISOR_UNREACHABLE',
    'HYPERVISOR_TIMEOUT',
    'STATE_NOT_READY',
    'VM_BUSY',
    'STORAGE_FULL',
    'JOURNAL_FAILURE',
  );
}
