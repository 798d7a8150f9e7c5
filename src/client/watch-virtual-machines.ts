import {
  type ReportOrigin,
  type WatchCursor,
  WatchEventType,
} from '../gen/novacron/agent/v1/common.ts';
import type {
  VirtualMachine,
  WatchVirtualMachinesResponse,
} from '../gen/novacron/agent/v1/virtual_machine.ts';
import type { AgentClient } from './agent-client.ts';
import { type ResumeOptions, resume } from './resume.ts';

export type VmWatchEvent =
  | { readonly type: 'added' | 'modified'; readonly vm: VirtualMachine }
  /** `vm` is its last known state. */
  | { readonly type: 'deleted'; readonly vm: VirtualMachine }
  /** Everything that happened so far has been told; sent again after every reconnection. */
  | { readonly type: 'synced' };

export interface VmWatchOptions extends ResumeOptions {
  /** Empty or not given means all. */
  readonly namespace?: string | undefined;
}

/**
 * The VMs as they are, then every change, for as long as the signal lets it. A lost connection is made anew and
 * the watch goes on where it was: nothing is told twice, and what was deleted meanwhile is told as deleted.
 */
export async function* watchVirtualMachines(
  client: AgentClient,
  options: VmWatchOptions,
): AsyncGenerator<VmWatchEvent, void, undefined> {
  const view = new VmView();
  async function* open() {
    view.reconnected();
    const request = { namespace: options.namespace ?? '' };
    const { cursor } = view;
    for await (const message of client.vms.watch(
      cursor === undefined ? request : { ...request, cursor },
      options,
    )) {
      if (view.isDoubtful(message)) {
        view.forgetCursor();
        return;
      }
      yield message;
    }
  }
  const onLost: ResumeOptions['onLost'] = (error) => {
    if (error?.reason === 'WATCH_EXPIRED') view.forgetCursor();
    options.onLost?.(error);
  };
  for await (const message of resume(open, { ...options, onLost })) yield* view.apply(message);
}

/** What a watcher has been told; turns what an agent sends into what is new. */
class VmView {
  readonly #known = new Map<string, VirtualMachine>();
  /** Where to go on; undefined asks for everything anew. */
  cursor: WatchCursor | undefined;
  /** Uids that this connection told of before it was up to date; undefined afterwards. */
  #seen: Set<string> | undefined = new Set();
  /** Whether this connection sends everything anew, so that what it leaves out is gone. */
  #replaying = true;

  forgetCursor(): void {
    this.cursor = undefined;
  }

  reconnected(): void {
    this.#seen = new Set();
    this.#replaying = this.cursor === undefined;
  }

  /**
   * An agent that can no longer go on from our cursor sends everything anew. If it has nothing to send, that
   * looks just like nothing having happened to our VMs.
   */
  isDoubtful({ type, origin }: WatchVirtualMachinesResponse): boolean {
    return (
      type === WatchEventType.WATCH_EVENT_TYPE_SYNCED &&
      !this.#replaying &&
      this.#seen?.size === 0 &&
      this.#known.size > 0 &&
      origin?.revision !== this.cursor?.revision
    );
  }

  *apply(message: WatchVirtualMachinesResponse): Generator<VmWatchEvent, void, undefined> {
    const { type, origin, virtualMachine: vm } = message;
    // Another epoch is another agent process, which cannot go on from our cursor.
    if (origin?.agentEpoch !== this.cursor?.agentEpoch && this.#seen !== undefined) this.#replay();
    if (type === WatchEventType.WATCH_EVENT_TYPE_SYNCED) yield* this.#synced();
    else if (vm?.metadata !== undefined) yield* this.#changed(type, vm, vm.metadata.uid);
    if (origin !== undefined && !this.#replaying) {
      this.cursor = { agentEpoch: origin.agentEpoch, revision: origin.revision };
    }
  }

  /** A replay that breaks off cannot be continued, so there is no cursor until it is complete. */
  #replay(): void {
    this.#replaying = true;
    this.cursor = undefined;
  }

  *#changed(type: WatchEventType, vm: VirtualMachine, uid: string): Generator<VmWatchEvent> {
    const before = this.#known.get(uid);
    if (type === WatchEventType.WATCH_EVENT_TYPE_DELETED) {
      this.#seen?.add(uid);
      if (this.#known.delete(uid)) yield { type: 'deleted', vm };
      return;
    }
    // A VM that we know is added again only when everything is sent anew.
    const again = before !== undefined && type === WatchEventType.WATCH_EVENT_TYPE_ADDED;
    if (again && this.#seen !== undefined) this.#replay();
    this.#seen?.add(uid);
    if (before !== undefined && !isNewer(vm.status?.origin, before.status?.origin)) return;
    this.#known.set(uid, vm);
    yield { type: before === undefined ? 'added' : 'modified', vm };
  }

  *#synced(): Generator<VmWatchEvent> {
    for (const [uid, vm] of this.#replaying ? this.#known : []) {
      if (this.#seen?.has(uid) === true) continue;
      this.#known.delete(uid);
      yield { type: 'deleted', vm };
    }
    this.#seen = undefined;
    this.#replaying = false;
    yield { type: 'synced' };
  }
}

/** Whether a report replaces another; without an origin it does. */
function isNewer(report: ReportOrigin | undefined, than: ReportOrigin | undefined): boolean {
  if (report === undefined || than === undefined) return true;
  if (report.nodeBootId !== than.nodeBootId) return true;
  if (report.agentEpoch !== than.agentEpoch) return report.agentEpoch > than.agentEpoch;
  return report.revision > than.revision;
}
