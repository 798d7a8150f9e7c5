import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { AgentError, hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { Turns } from '../../core/turns.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import { lastKey, pageToken } from '../reports/paging.ts';
import type { Origins, Page, PageRequest, WatchCursor, WatchEvent } from '../reports/report.ts';
import { type Deed, type Meeting, meetingOf } from './meetings.ts';
import {
  hasEnded,
  type Operation,
  type OperationFilter,
  type OperationKind,
  type OperationRecord,
  type OperationRequest,
  type OperationService,
  type OperationVm,
  type Submission,
  subjectText,
  vmIdOf,
} from './operation.ts';
import type { OperationBook } from './operation-book.ts';
import type { OperationController } from './operation-controller.ts';
import { failureOf } from './operation-errors.ts';
import type { OperationSecrets } from './operation-secrets.ts';
import type { Admission, OperationWork } from './operation-work.ts';

export interface OperationManagerOptions {
  readonly book: OperationBook;
  readonly works: Readonly<Record<OperationKind, OperationWork>>;
  readonly controller: OperationController;
  readonly secrets: OperationSecrets;
  /** Has the operations of a VM seen to at once. */
  readonly wake: (vmUid: string) => void;
  readonly cancelMigration: (id: string) => Promise<unknown>;
  /** The migration by which a VM is leaving; undefined if none. Must cost nothing. */
  readonly migrationOf: (vmUid: string) => string | undefined;
  readonly log: Logger;
  readonly origins: Origins;
}

/** More would be a page by itself. */
const WHOLE_LIST = 10_000;
/** Pruning looks at all, so it is not done each time. */
const PRUNE_EVERY = 100;

/** Records what callers ask for, once for each id, has it done, and tells what became of it. */
export class OperationManager implements OperationService {
  readonly #options: OperationManagerOptions;
  readonly #turns = new Turns();
  #submitted = 0;

  constructor(options: OperationManagerOptions) {
    this.#options = options;
  }

  submit(asked: OperationRequest, signal: AbortSignal): Promise<Submission> {
    // Of the same request twice at once the second is told what has become of the first.
    return asked.id === undefined
      ? this.#submit(asked, signal)
      : this.#turns.take(asked.id, () => this.#submit(asked, signal));
  }

  /** Records an operation that has begun by itself, a migration, whatever else goes on. Recording it again changes nothing. */
  async record(request: OperationRequest & { readonly vm: OperationVm }): Promise<void> {
    const { book, wake } = this.#options;
    await book.begin(newRecord(request, request.vm, undefined));
    wake(request.vm.uid);
  }

  /**
   * Fails with VM_BUSY if an operation goes on that something else of its VM cannot be done beside, and with OPERATION_ID_REUSED
   * if the id is that of an operation of another kind.
   */
  async assertMayBegin(id: string, kind: OperationKind, vm: OperationVm): Promise<void> {
    const { book } = this.#options;
    const known = await book.find(id);
    if (known !== undefined && known.kind !== kind) throw reused(known, { kind, vm });
    assertNotBusy({ id, kind, vm }, kind, this.#inTheWay(vm, book.openOf(vm)));
  }

  async #submit(asked: OperationRequest, signal: AbortSignal): Promise<Submission> {
    const { book, works, controller, secrets, wake, cancelMigration } = this.#options;
    const work = works[asked.kind];
    const parameters = work.secret?.withDigest(asked.parameters) ?? asked.parameters;
    const request = { ...asked, parameters };
    const known = request.id === undefined ? undefined : await book.find(request.id);
    if (known !== undefined) return this.#known(known, request, asked);
    const { vm, deed, details, result } = await this.#admit(asked, signal);
    const record = newRecord(request, vm, result);
    const open = this.#inTheWay(vm, book.openOf(vm));
    for (const id of meetings(deed, open, 'cancel')) await cancelMigration(id);
    signal.throwIfAborted();
    // Whoever is killed from here on leaves what the operation needs, or nothing that is in use.
    await secrets.keep(record.id, work.secret, asked.parameters, signal);
    // From here on it is done, whether or not the caller waits.
    controller.expect(record.id, asked.parameters, asked.isAwaited === true);
    try {
      const begun = await book.begin(record, (all) => {
        const others = this.#inTheWay(vm, all);
        const means = asked.id === undefined ? meantBy(request, others) : undefined;
        if (means !== undefined) return { supersedes: [], means };
        assertNotBusy(record, deed, others);
        const superseded = meetings(deed, others, 'supersede');
        return { supersedes: others.filter(({ id }) => superseded.includes(id)) };
      });
      if (begun !== undefined) {
        await this.#letGo(record);
        return await this.#known(begun, request, asked);
      }
    } catch (error) {
      await this.#letGo(record);
      throw error;
    }
    if (result === undefined) wake(vm.uid);
    else controller.forget(record.id);
    await this.#pruneSometimes();
    return { operation: await book.get(record.id), details };
  }

  async plan(
    asked: Pick<OperationRequest, 'kind' | 'vm' | 'parameters'>,
    signal: AbortSignal,
  ): Promise<OperationVm> {
    const { book } = this.#options;
    const request = { ...asked, id: undefined, requestedBy: '' };
    const { vm, deed } = await this.#admit(request, signal);
    const others = this.#inTheWay(vm, book.openOf(vm));
    assertNotBusy({ id: '', kind: asked.kind, vm }, deed, others);
    return vm;
  }

  assertNotInTheWay(asked: Pick<OperationRequest, 'kind' | 'vm' | 'parameters'>, vm: OperationVm) {
    const { book, works } = this.#options;
    const { kind } = asked;
    const parameters = works[kind].secret?.withDigest(asked.parameters) ?? asked.parameters;
    const others = this.#inTheWay(vm, book.openOf(vm));
    if (meantBy({ ...asked, parameters }, others) !== undefined) return;
    assertNotBusy({ id: '', kind, vm }, kind, others);
  }

  get(id: string): Promise<Operation> {
    return this.#options.book.get(id);
  }

  async list(filter: OperationFilter, page: PageRequest): Promise<Page<Operation>> {
    const { book, origins } = this.#options;
    // What changes while the journal is read is told to whoever watches from here on.
    const origin = origins.current();
    const last = lastKey(page.token, filter);
    const after = last === undefined ? undefined : Number(last);
    const limit = page.size === 0 ? WHOLE_LIST : page.size;
    const { items, next } = await book.list(filter, { after, limit });
    const nextToken = next === undefined ? '' : pageToken(String(next), filter);
    return { items, nextToken, origin };
  }

  async *watch(
    filter: OperationFilter & { readonly id: string | undefined },
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Operation>, void, undefined> {
    const { book } = this.#options;
    // A watch of one that is not there would wait for ever.
    const wanted = filter.id === undefined ? undefined : await book.get(filter.id);
    if (wanted !== undefined && hasEnded(wanted) && !book.remembers(wanted.id)) {
      const { origin } = wanted;
      yield { type: 'reset', origin };
      yield { type: 'added', object: wanted, origin };
      yield { type: 'synced', origin };
      // It has ended for good, so there is nothing more to tell.
      await untilAborted(new Promise<never>(() => {}), signal);
    }
    yield* book.watch((operation) => matches(operation, filter), cursor, signal);
  }

  async cancel(id: string, signal: AbortSignal): Promise<Operation> {
    const { book, controller, cancelMigration } = this.#options;
    const operation = await book.get(id);
    if (hasEnded(operation)) return operation;
    if (operation.kind === 'migrate') await cancelMigration(id);
    else await controller.cancel(id, signal);
    this.#options.wake(operation.vm.uid);
    return await book.get(id);
  }

  async untilDone({ operation }: Submission, signal: AbortSignal): Promise<Submission> {
    const { book, controller } = this.#options;
    const { id } = operation;
    using stack = new DisposableStack();
    stack.defer(() => controller.takeDetails(id));
    let now = await book.get(id);
    if (!this.#isDone(now)) {
      for await (const event of book.watch((other) => other.id === id, undefined, signal)) {
        if ('object' in event) now = event.object;
        if (this.#isDone(now)) break;
      }
      now = await book.get(id);
    }
    if (hasEnded(now) && now.state !== 'succeeded') throw failureOf(now);
    return { operation: now, details: controller.takeDetails(id) };
  }

  async #admit(asked: OperationRequest, signal: AbortSignal): Promise<Admission> {
    const { book, works } = this.#options;
    try {
      return await works[asked.kind].admit(asked, signal);
    } catch (error) {
      if (!hasReason(error, 'VM_NOT_FOUND')) throw error;
      // Lists tell of one that is being made, so it is not said to be nowhere.
      const { namespace, name, uid = '' } = asked.vm;
      const vm = { namespace, name, uid };
      const making = book.openOf(vm).filter(({ kind }) => kind === 'create' || kind === 'apply');
      const [first] = making;
      if (first !== undefined && (uid === '' || uid === first.vm.uid)) {
        throw busy({ kind: asked.kind, vm: first.vm }, first);
      }
      throw error;
    }
  }

  #isDone(operation: Operation): boolean {
    const { answersAt } = this.#options.works[operation.kind];
    return hasEnded(operation) || (answersAt !== undefined && operation.step === answersAt);
  }

  /** It has not begun. */
  async #letGo(record: OperationRecord): Promise<void> {
    const { book, works, controller, secrets } = this.#options;
    controller.forget(record.id);
    if (book.open(record.id) === undefined) await secrets.drop(record, works[record.kind].secret);
  }

  /** A migration is in the way from when it has begun, be it recorded here or not, until it has ended. */
  #inTheWay(vm: OperationVm, open: readonly OperationRecord[]): readonly OperationRecord[] {
    const { works, migrationOf } = this.#options;
    const going = open.filter(({ id, kind }) => works[kind].isOver?.(id) !== true);
    const id = migrationOf(vm.uid);
    if (id === undefined || going.some((other) => other.id === id)) return going;
    const asked = { id, kind: 'migrate', vm, parameters: {}, requestedBy: '' } as const;
    return [...going, newRecord(asked, vm, undefined)];
  }

  async #known(
    record: OperationRecord,
    request: OperationRequest,
    asked: OperationRequest,
  ): Promise<Submission> {
    const { book, controller, wake } = this.#options;
    if (record.kind !== request.kind || !isSame(record, request)) throw reused(record, request);
    if (!hasEnded(record)) {
      // With what an agent that was killed could not keep.
      controller.expect(record.id, asked.parameters, asked.isAwaited === true);
      wake(record.vm.uid);
    }
    return { operation: await book.get(record.id), details: undefined };
  }

  async #pruneSometimes(): Promise<void> {
    this.#submitted += 1;
    if (this.#submitted % PRUNE_EVERY !== 0) return;
    try {
      await this.#options.book.prune();
    } catch (error) {
      this.#options.log.warn({ err: error }, 'Cannot forget old operations');
    }
  }
}

function reused(known: OperationRecord, asked: Pick<OperationRequest, 'kind' | 'vm'>): AgentError {
  const { id, kind } = known;
  return new AgentError(
    'OPERATION_ID_REUSED',
    `Cannot ${asked.kind} ${subjectText(asked)} as operation ${id}: that is the id of another request (${kind} ${subjectText(known)}); choose a new id`,
    { metadata: { operationId: id } },
  );
}

/** With a result there is nothing to do. */
function newRecord(
  { id, kind, parameters, requestedBy }: OperationRequest,
  vm: OperationVm,
  result: string | undefined,
): OperationRecord {
  const nowMs = Date.now();
  const isOver = result !== undefined;
  return {
    id: id ?? randomUUID(),
    kind,
    vm,
    parameters,
    requestedBy,
    requestedAtMs: nowMs,
    startedAtMs: isOver ? nowMs : undefined,
    endedAtMs: isOver ? nowMs : undefined,
    state: isOver ? 'succeeded' : 'pending',
    step: '',
    result: result ?? '',
    warnings: [],
    error: undefined,
    supersededBy: '',
  };
}

/** Who repeats a request without an id means what goes on already. */
function meantBy(
  request: Pick<OperationRequest, 'kind' | 'vm' | 'parameters'>,
  others: readonly OperationRecord[],
): OperationRecord | undefined {
  return others.find((other) => other.kind === request.kind && isSame(other, request));
}

/** Whether a request asks for what an operation of its kind was begun for. */
function isSame(
  { vm, parameters }: OperationRecord,
  request: Pick<OperationRequest, 'vm' | 'parameters'>,
): boolean {
  const { namespace, name, uid = vm.uid } = request.vm;
  return (
    vm.namespace === namespace &&
    vm.name === name &&
    vm.uid === uid &&
    isDeepStrictEqual(parameters, request.parameters)
  );
}

/** Ids of those that go on which a newer one meets in this way. */
function meetings(
  deed: Deed,
  open: readonly OperationRecord[],
  meeting: Meeting,
): readonly string[] {
  return open.filter(({ kind }) => meetingOf(deed, kind) === meeting).map(({ id }) => id);
}

/** Of those that are no words that go before a VM. */
const WORDS: Partial<Record<OperationKind, string>> = {
  shutdown: 'shut down',
  destroy: 'cut the power of',
  eject: 'eject a medium of',
  insert: 'insert a medium into',
};

/** A migration that is on its way to being cancelled is waited for by the first step. */
function assertNotBusy(
  asked: Pick<OperationRecord, 'id' | 'kind' | 'vm'>,
  deed: Deed,
  open: readonly OperationRecord[],
): void {
  const { id } = asked;
  const other = open.find(
    (candidate) => candidate.id !== id && meetingOf(deed, candidate.kind) === 'busy',
  );
  if (other !== undefined) throw busy(asked, other);
}

function busy(asked: Pick<OperationRecord, 'kind' | 'vm'>, other: OperationRecord): AgentError {
  const { kind } = asked;
  const cancel = other.kind === 'migrate' ? 'novactl migration cancel' : 'novactl operation cancel';
  return new AgentError(
    'VM_BUSY',
    `Cannot ${WORDS[kind] ?? kind} ${subjectText(asked)}: operation ${other.id} (${other.kind}) is in progress; wait until it has ended, or cancel it with "${cancel} ${other.id}"`,
    { metadata: { ...vmIdOf(asked), operationId: other.id }, retryAfterMs: 1_000 },
  );
}

function matches(
  operation: Operation,
  filter: OperationFilter & { readonly id: string | undefined },
): boolean {
  const { id, vmUid, vmName, namespace, activeOnly } = filter;
  const { vm } = operation;
  if (id !== undefined && operation.id !== id) return false;
  if (activeOnly && hasEnded(operation)) return false;
  if (vmUid !== undefined && vm.uid !== vmUid) return false;
  if (namespace !== undefined && vm.namespace !== namespace) return false;
  return vmName === undefined || (vm.namespace === vmName.namespace && vm.name === vmName.name);
}
