import type { OperationKind, OperationRecord } from '../operations/operation.ts';
import type { OperationBook } from '../operations/operation-book.ts';
import type { OperationStore } from '../operations/operation-store.ts';

/** What was asked for of a VM, as far as it may explain what has become of it. */
export type Request = Pick<
  OperationRecord,
  'id' | 'kind' | 'requestedBy' | 'requestedAtMs' | 'endedAtMs'
>;

/** Those that change what can be seen of a VM. */
const EXPLAINING: readonly OperationKind[] = [
  'create',
  'apply',
  'start',
  'shutdown',
  'destroy',
  'restart',
  'suspend',
  'resume',
  'reset',
  'reboot',
  'eject',
  'insert',
  'delete',
];
/** What has ended so long before a look may show only at the next one. */
const SLACK_MS = 2_000;

/** Finds the request behind what has become of a VM: by the journal, and so whichever agent was asked. */
export class RecentRequests {
  readonly #book: Pick<OperationBook, 'openOf'>;
  /** The last of each kind that has ended and was not refused or failed, by the VM's uid. */
  readonly #ended = new Map<string, Map<OperationKind, Request>>();
  /** Ids of those that have explained something and have not ended yet, by the VM's uid. */
  readonly #used = new Map<string, Set<string>>();

  private constructor(book: Pick<OperationBook, 'openOf'>) {
    this.#book = book;
  }

  static async load(
    book: Pick<OperationBook, 'openOf'>,
    store: Pick<OperationStore, 'listLastEnded'>,
  ): Promise<RecentRequests> {
    const requests = new RecentRequests(book);
    for (const record of await store.listLastEnded(EXPLAINING)) requests.note(record);
    return requests;
  }

  /** An operation has begun, got on or ended. */
  note(record: OperationRecord): void {
    const { id, kind, vm, requestedBy, requestedAtMs, startedAtMs, endedAtMs, state } = record;
    if (endedAtMs === undefined) return;
    const wasUsed = this.#used.get(vm.uid)?.delete(id) === true;
    if (wasUsed || startedAtMs === undefined || state === 'failed') return;
    if (!EXPLAINING.includes(kind)) return;
    const ofVm = this.#ended.get(vm.uid) ?? new Map<OperationKind, Request>();
    this.#ended.set(vm.uid, ofVm);
    ofVm.set(kind, { id, kind, requestedBy, requestedAtMs, endedAtMs });
  }

  /** The newest request of these kinds that goes on, or has ended since then; undefined if there is none. Costs nothing. */
  behind(vmUid: string, kinds: readonly OperationKind[], sinceMs: number): Request | undefined {
    const open = this.#book
      .openOf(vmUid)
      .filter(({ kind, startedAtMs }) => kinds.includes(kind) && startedAtMs !== undefined);
    const ended = [...(this.#ended.get(vmUid)?.values() ?? [])].filter(
      ({ kind, endedAtMs = 0 }) => kinds.includes(kind) && endedAtMs >= sinceMs - SLACK_MS,
    );
    return [...ended, ...open]
      .toSorted((one, other) => one.requestedAtMs - other.requestedAtMs)
      .at(-1);
  }

  /** It has explained what has become of a VM; what becomes of it next has another reason. */
  noteUsed(vmUid: string, { id, kind, endedAtMs }: Request): void {
    // That explains an end, and then a start.
    if (kind === 'restart') return;
    if (endedAtMs !== undefined) {
      const ofVm = this.#ended.get(vmUid);
      if (ofVm?.get(kind)?.id === id) ofVm.delete(kind);
      return;
    }
    this.#used.set(vmUid, (this.#used.get(vmUid) ?? new Set()).add(id));
  }

  forget(vmUid: string): void {
    this.#ended.delete(vmUid);
    this.#used.delete(vmUid);
  }
}
