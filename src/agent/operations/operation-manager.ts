import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import { lastKey, pageToken } from '../reports/paging.ts';
import type { Origins, Page, PageRequest, WatchCursor, WatchEvent } from '../reports/report.ts';
import { type Deed, MEETINGS, type Meeting } from './meetings.ts';
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
} from './operation.ts';
import type { OperationBook } from './operation-book.ts';
import type { OperationController } from './operation-controller.ts';
import { failureOf } from './operation-errors.ts';
import type { OperationWork } from './operation-work.ts';

export interface OperationManagerOptions {
  readonly book: OperationBook;
  readonly works: Readonly<Record<OperationKind, OperationWork>>;
  readonly controller: OperationController;
  /** Has the operations of a VM seen to at once. */
  readonly wake: (vmUid: string) => void;
  readonly cancelMigration: (id: string) => Promise<unknown>;
  readonly origins: Origins;
}

/** More would be a page by itself. */
const WHOLE_LIST = 10_000;
/** The step of a shutdown from which on it is up to the guest. */
export const WAITING_FOR_GUEST = 'waiting-for-guest';

/** Records what callers ask for, once for each id, has it done, and tells what became of it. */
export class OperationManager implements OperationService {
  readonly #options: OperationManagerOptions;

  constructor(options: OperationManagerOptions) {
    this.#options = options;
  }

  async submit(asked: OperationRequest, signal: AbortSignal): Promise<Submission> {
    const { book, works, controller, wake } = this.#options;
    const work = works[asked.kind];
    const parameters = work.withoutSecrets?.(asked.parameters) ?? asked.parameters;
    const request = { ...asked, parameters };
    const known = request.id === undefined ? undefined : await book.find(request.id);
    if (known !== undefined) return this.#known(known, request);
    const { vm, deed, details, result } = await work.admit(asked, signal);
    const open = this.#inTheWay(book.openOf(vm.uid));
    // Who repeats a request without an id means what goes on already.
    const same = open.find((other) => other.kind === request.kind && isSame(other, request));
    if (request.id === undefined && same !== undefined) return this.#known(same, request);
    for (const id of meetings(deed, open, 'cancel')) await this.#options.cancelMigration(id);
    signal.throwIfAborted();
    // From here on it is done, whether or not the caller waits.
    const record = newRecord(request, vm, result);
    const begun = await book.begin(record, (all) => {
      const others = this.#inTheWay(all);
      assertNotBusy(record, deed, others);
      const superseded = meetings(deed, others, 'supersede');
      return others.filter(({ id }) => superseded.includes(id));
    });
    if (begun !== undefined) return this.#known(begun, request);
    controller.keepParameters(record.id, asked.parameters);
    if (asked.isAwaited === true) controller.keepDetails(record.id);
    if (result === undefined) wake(vm.uid);
    return { operation: await book.get(record.id), details };
  }

  /** Fails with VM_BUSY if an operation goes on that something else of its VM cannot be done beside. */
  assertMayBegin(kind: Deed & OperationKind, vm: OperationVm): void {
    assertNotBusy({ kind, vm }, kind, this.#inTheWay(this.#options.book.openOf(vm.uid)));
  }

  get(id: string): Promise<Operation> {
    return this.#options.book.get(id);
  }

  async list(filter: OperationFilter, page: PageRequest): Promise<Page<Operation>> {
    const { book, origins } = this.#options;
    const last = lastKey(page.token, filter);
    const after = last === undefined ? undefined : keyFrom(last);
    const size = page.size === 0 ? WHOLE_LIST : page.size;
    const records = await book.list(filter, after, size + 1);
    const items = records.slice(0, size).map((record) => book.toOperation(record));
    const end = records.length > size ? items.at(-1) : undefined;
    const nextToken = end === undefined ? '' : pageToken(keyOf(end), filter);
    return { items, nextToken, origin: origins.current() };
  }

  async *watch(
    filter: OperationFilter & { readonly id: string | undefined },
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Operation>, void, undefined> {
    const { book } = this.#options;
    // A watch of one that is not there would wait for ever.
    const wanted = filter.id === undefined ? undefined : await book.get(filter.id);
    if (wanted !== undefined && !book.remembers(wanted.id)) {
      const { origin } = wanted;
      yield { type: 'reset', origin };
      yield { type: 'added', object: wanted, origin };
      yield { type: 'synced', origin };
      // It has ended for good, so there is nothing more to tell.
      await untilAborted(new Promise<never>(() => {}), signal);
    }
    yield* book.watch((operation) => matches(operation, filter), cursor, signal);
  }

  async cancel(id: string): Promise<Operation> {
    const { book, controller, cancelMigration } = this.#options;
    const operation = await book.get(id);
    if (hasEnded(operation)) return operation;
    if (operation.kind === 'migrate') await cancelMigration(id);
    else await controller.cancel(id, operation.kind);
    return await book.get(id);
  }

  async untilDone({ operation }: Submission, signal: AbortSignal): Promise<Submission> {
    const { book, controller } = this.#options;
    const { id } = operation;
    using stack = new DisposableStack();
    stack.defer(() => controller.takeDetails(id));
    let now = await book.get(id);
    if (!isDone(now)) {
      for await (const event of book.watch((other) => other.id === id, undefined, signal)) {
        if ('object' in event) now = event.object;
        if (isDone(now)) break;
      }
    }
    if (hasEnded(now) && now.state !== 'succeeded') throw failureOf(now);
    return { operation: now, details: controller.takeDetails(id) };
  }

  #inTheWay(open: readonly OperationRecord[]): readonly OperationRecord[] {
    return open.filter(({ id, kind }) => this.#options.works[kind].isOver?.(id) !== true);
  }

  async #known(record: OperationRecord, request: OperationRequest): Promise<Submission> {
    if (record.kind === request.kind && isSame(record, request)) {
      return { operation: await this.#options.book.get(record.id), details: undefined };
    }
    throw new AgentError(
      'OPERATION_ID_REUSED',
      `Cannot ${request.kind} VM ${request.vm.name} as operation ${record.id}: that is the id of another request (${record.kind} VM ${record.vm.namespace}/${record.vm.name}); choose a new id`,
      { metadata: { operationId: record.id } },
    );
  }
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
    error: undefined,
    supersededBy: '',
  };
}

function isDone(operation: Operation): boolean {
  return hasEnded(operation) || operation.step === WAITING_FOR_GUEST;
}

/** Whether a request asks for what an operation of its kind was begun for. */
function isSame({ vm, parameters }: OperationRecord, request: OperationRequest): boolean {
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
  return open.filter(({ kind }) => MEETINGS[deed][kind] === meeting).map(({ id }) => id);
}

/** A migration that is on its way to being cancelled is waited for by the first step. */
function assertNotBusy(
  { kind, vm }: Pick<OperationRecord, 'kind' | 'vm'>,
  deed: Deed,
  open: readonly OperationRecord[],
): void {
  const other = open.find((candidate) => MEETINGS[deed][candidate.kind] === 'busy');
  if (other === undefined) return;
  const cancel = other.kind === 'migrate' ? 'novactl migration cancel' : 'novactl operation cancel';
  throw new AgentError(
    'VM_BUSY',
    `Cannot ${kind} VM ${vm.name}: operation ${other.id} (${other.kind}) is in progress; wait until it has ended, or cancel it with "${cancel} ${other.id}"`,
    { metadata: { vmId: vm.uid, operationId: other.id }, retryAfterMs: 1_000 },
  );
}

function matches(
  operation: Operation,
  filter: OperationFilter & { readonly id: string | undefined },
): boolean {
  const { id, vmUid, vmName, activeOnly } = filter;
  const { vm } = operation;
  if (id !== undefined && operation.id !== id) return false;
  if (activeOnly && hasEnded(operation)) return false;
  if (vmUid !== undefined && vm.uid !== vmUid) return false;
  return vmName === undefined || (vm.namespace === vmName.namespace && vm.name === vmName.name);
}

function keyOf({ requestedAtMs, id }: Operation): string {
  return `${requestedAtMs}/${id}`;
}

function keyFrom(key: string) {
  const at = key.indexOf('/');
  return { requestedAtMs: Number(key.slice(0, at)), id: key.slice(at + 1) };
}
