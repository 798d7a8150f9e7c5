import { AgentError, hasReason, isHypervisorAway } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import {
  type OperationKind,
  type OperationParameters,
  type OperationProgress,
  type OperationRecord,
  vmIdOf,
} from './operation.ts';
import type { OperationBook, OperationEnd } from './operation-book.ts';
import { cancelled, isTimeout, passes, toOperationError } from './operation-errors.ts';
import type { OperationSecrets } from './operation-secrets.ts';
import type { OperationWork, StepResult } from './operation-work.ts';

export interface OperationControllerOptions {
  readonly book: OperationBook;
  readonly works: Readonly<Record<OperationKind, OperationWork>>;
  readonly secrets: OperationSecrets;
  readonly log: Logger;
}

/** What only this process knows of an operation that goes on. Times are by the clock that nobody sets. */
interface Underway {
  /** Ends the step that is being taken; undefined if none is. */
  step: AbortController | undefined;
  isCancelled: boolean;
  /** As they were given, with what must not be in the journal; undefined until they are known. */
  parameters: OperationParameters | undefined;
  /** Since when every step has failed by something that passes. */
  failingSinceMs: number | undefined;
  /** What is waited for, and since when. */
  waiting: { readonly step: string; readonly sinceMs: number } | undefined;
}

/** What passes by itself is waited for so long. */
const PATIENCE_MS = 600_000;

/** Brings about what was asked for, also by callers of an agent that was killed since. */
export class OperationController implements Controller {
  readonly name = 'operations';
  readonly inputs: readonly Input[] = ['operations', 'vms'];
  readonly outputs: readonly Output[] = ['vms', 'node-spec'];
  readonly #options: OperationControllerOptions;
  readonly #underway = new Map<string, Underway>();
  /** Of operations that somebody waits for: what they came to, once they are done. */
  readonly #details = new Map<string, unknown>();

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
    const { book } = this.#options;
    for (const id of this.#underway.keys()) {
      if (book.open(id) === undefined) this.#underway.delete(id);
    }
    let afterMs = Number.POSITIVE_INFINITY;
    const failures: unknown[] = [];
    for (const { id } of book.openOf(vmUid)) {
      // It may have ended while a step of another one was taken.
      const operation = book.open(id);
      if (operation === undefined) continue;
      try {
        const again = await this.#step(operation, signal);
        if (again !== undefined) afterMs = Math.min(afterMs, again.afterMs);
      } catch (error) {
        if (isStopped(signal)) throw error;
        // One that has to wait holds up no other.
        failures.push(error);
      }
    }
    // What waits for the hypervisor is tried again when that is back.
    if (failures.length > 0) throw failures.find(isHypervisorAway) ?? failures[0];
    return Number.isFinite(afterMs) ? { afterMs } : undefined;
  }

  /** An operation is about to begin: has it done with its parameters as they were given, and its details kept for who waits. */
  expect(id: string, parameters: OperationParameters, isAwaited: boolean): void {
    this.#of(id).parameters ??= parameters;
    if (isAwaited) this.#details.set(id, undefined);
  }

  /** It has not begun, or is over. */
  forget(id: string): void {
    this.#underway.delete(id);
    this.#details.delete(id);
  }

  /** What an operation has come to beside its result; undefined if it was not kept. */
  takeDetails(id: string): unknown {
    const details = this.#details.get(id);
    this.#details.delete(id);
    return details;
  }

  /**
   * Has an operation end without another step. What can be undone is stopped and undone; of what else the hypervisor has been
   * told nothing can be taken back: a step that is being taken ends as it does, and the operation after it.
   */
  async cancel(id: string, signal: AbortSignal): Promise<void> {
    const { book, works } = this.#options;
    const operation = book.open(id);
    if (operation === undefined) return;
    const underway = this.#of(id);
    // Before anything is awaited, or a step could begin meanwhile.
    underway.isCancelled = true;
    if (underway.step !== undefined) {
      if (works[operation.kind].undo !== undefined) underway.step.abort(new Error('cancelled'));
      return;
    }
    try {
      await this.#undo(operation, signal);
    } catch (error) {
      // Its next step undoes it.
      if (!passes(error)) throw error;
    }
  }

  async #step(operation: OperationRecord, signal: AbortSignal): Promise<Again | undefined> {
    const { book, works, secrets, log } = this.#options;
    const { id, kind } = operation;
    const work = works[kind];
    const underway = this.#of(id);
    underway.step = new AbortController();
    const about = { operationId: id, operation: kind, ...vmIdOf(operation) };
    try {
      if (underway.isCancelled) return await this.#undo(operation, signal);
      underway.parameters ??= await secrets.restore(operation, work.secret, signal);
      const given = { ...operation, parameters: underway.parameters };
      if (operation.step === '') await book.step(id, work.firstStep);
      if (book.open(id) === undefined) return undefined;
      const waitedMs = waitedFor(operation.step, underway);
      const both = AbortSignal.any([signal, underway.step.signal]);
      const result = await work.step(given, both, waitedMs);
      underway.failingSinceMs = undefined;
      if (underway.isCancelled && (work.undo !== undefined || !result.isDone)) {
        return await this.#undo(operation, signal);
      }
      return await this.#proceed(operation, underway, result);
    } catch (error) {
      if (isStopped(signal)) throw error;
      if (underway.isCancelled && (underway.step.signal.aborted || passes(error))) {
        return await this.#undo(operation, signal);
      }
      underway.failingSinceMs ??= performance.now();
      const failingMs = performance.now() - underway.failingSinceMs;
      // A migration that has ended has failed for good, whatever for.
      if (failingMs < PATIENCE_MS && passes(error) && work.isOver?.(id) !== true) {
        book.tellProgress(id, tryingAgain(error, failingMs));
        throw error;
      }
      const state = hasReason(error, 'MIGRATION_CANCELLED') ? 'cancelled' : 'failed';
      log.warn({ ...about, err: error }, 'Operation failed');
      await this.#end(operation, { state, error: toOperationError(error) });
      return undefined;
    } finally {
      underway.step = undefined;
    }
  }

  async #proceed(
    operation: OperationRecord,
    underway: Underway,
    result: StepResult,
  ): Promise<Again | undefined> {
    const { book, log } = this.#options;
    const { id, kind } = operation;
    if (!result.isDone) {
      if (underway.waiting?.step !== result.step) {
        underway.waiting = { step: result.step, sinceMs: performance.now() };
      }
      await book.step(id, result.step, result.progress, result.warnings);
      return result.again;
    }
    if (this.#details.has(id)) this.#details.set(id, result.details);
    const { result: word = '', warnings = [] } = result;
    await this.#end(operation, { state: 'succeeded', result: word, warnings });
    log.info({ operationId: id, operation: kind, ...vmIdOf(operation) }, 'Operation done');
    return undefined;
  }

  async #undo(operation: OperationRecord, signal: AbortSignal): Promise<undefined> {
    await this.#options.works[operation.kind].undo?.(operation, signal);
    await this.#end(operation, { state: 'cancelled', error: cancelled(operation.id) });
  }

  async #end(operation: OperationRecord, end: OperationEnd): Promise<void> {
    const { book, works, secrets } = this.#options;
    await book.end(operation.id, end);
    const work = works[operation.kind];
    work.ended?.(operation.id);
    await secrets.drop(operation, work.secret);
  }

  #of(id: string): Underway {
    const known = this.#underway.get(id);
    if (known !== undefined) return known;
    const underway: Underway = {
      step: undefined,
      isCancelled: false,
      parameters: undefined,
      failingSinceMs: undefined,
      waiting: undefined,
    };
    this.#underway.set(id, underway);
    return underway;
  }
}

/** How one gets on of which every step fails by something that passes. */
function tryingAgain(error: unknown, failingMs: number): OperationProgress {
  const why = error instanceof AgentError ? error.message : 'it has taken too long';
  const leftMs = PATIENCE_MS - failingMs;
  const message = `Trying again: ${why}`;
  return { fractionDone: undefined, message, waitedMs: failingMs, leftMs };
}

/** An earlier agent may have waited before, which counts for nothing: its clock may have been another. */
function waitedFor(step: string, { waiting }: Underway): number {
  return waiting?.step === step ? performance.now() - waiting.sinceMs : 0;
}

/** The agent ends; a step that has only taken too long may be taken again. */
function isStopped({ aborted, reason }: AbortSignal): boolean {
  return aborted && !isTimeout(reason);
}
