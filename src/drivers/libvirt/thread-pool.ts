import type { CallOutcome, CallRequest, ThreadDiagnostics } from './driver-protocol.ts';
import { ThreadClient } from './thread-client.ts';

export interface ThreadPoolOptions {
  /** Makes a thread and who uses it. */
  readonly start: (lane: CallRequest['lane']) => ThreadClient;
  /** Threads that may make calls at the same time, not counting those whose call takes long. */
  readonly size: number;
  readonly onOutcome: (outcome: CallOutcome) => void;
  /** Too many threads are stuck in calls that nobody waits for. */
  readonly onExhausted: (stuckThreads: number) => void;
}

/** A call that takes longer no longer counts: another thread stands in, so that slow VMs do not slow down others. */
const SLOW_CALL_MS = 300;
/** libvirt lets one job at a time work on a domain; a second call may still be needed to stop the first. */
const CALLS_PER_VM = 2;
const MAX_STUCK_THREADS = 16;
const MAX_THREADS = 40;
const IDLE_THREAD_MS = 60_000;

interface Member {
  readonly client: ThreadClient;
  readonly lane: CallRequest['lane'];
  request: CallRequest | undefined;
  startedAtMs: number;
  /** In a call that nobody waits for any more. A thread blocked in native code cannot be ended. */
  stuck: boolean;
  idleTimer: NodeJS.Timeout | undefined;
}

/** Hands calls to threads. One of this pool may block for ever without stopping the others. */
export class ThreadPool {
  readonly #options: ThreadPoolOptions;
  readonly #members = new Set<Member>();
  readonly #waiting: CallRequest[] = [];
  #slowTimer: NodeJS.Timeout | undefined;

  constructor(options: ThreadPoolOptions) {
    this.#options = options;
  }

  get threads(): number {
    return this.#members.size;
  }

  get stuckThreads(): number {
    return [...this.#members].filter((member) => member.stuck).length;
  }

  submit(request: CallRequest): void {
    if (request.lane === 'pool') {
      this.#waiting.push(request);
      this.#dispatch();
    } else {
      this.#begin(this.#add(request.lane), request);
    }
  }

  /** Nobody waits for this call: it is not begun, or its thread counts as stuck until it returns. */
  forget(id: number): void {
    const index = this.#waiting.findIndex((request) => request.id === id);
    if (index >= 0) this.#waiting.splice(index, 1);
    for (const member of this.#members) {
      if (member.request?.id === id && member.lane !== 'long') member.stuck = true;
    }
    const { stuckThreads } = this;
    if (stuckThreads > MAX_STUCK_THREADS) this.#options.onExhausted(stuckThreads);
    this.#dispatch();
  }

  /** Handles open in all threads that make no call. */
  diagnose(): ThreadDiagnostics {
    const idle = [...this.#members].filter(({ request }) => request === undefined);
    return {
      openConnections: idle.reduce((sum, { client }) => sum + client.openConnections, 0),
      openDomains: idle.reduce((sum, { client }) => sum + client.openDomains, 0),
    };
  }

  #dispatch(): void {
    for (let index = 0; index < this.#waiting.length; ) {
      const request = this.#waiting[index];
      if (request === undefined) return;
      if (this.#callsOf(request.uid) >= CALLS_PER_VM) {
        index += 1;
        continue;
      }
      const member = this.#findIdle() ?? this.#addIfAllowed();
      if (member === undefined) return this.#retryWhenSlow();
      this.#waiting.splice(index, 1);
      this.#begin(member, request);
    }
  }

  #callsOf(uid: string | undefined): number {
    if (uid === undefined) return 0;
    let calls = 0;
    for (const { request, lane } of this.#members) {
      if (!isApart(lane) && request?.uid === uid) calls += 1;
    }
    return calls;
  }

  #findIdle(): Member | undefined {
    for (const member of this.#members) {
      if (!isApart(member.lane) && member.request === undefined) return member;
    }
    return undefined;
  }

  #addIfAllowed(): Member | undefined {
    const slowSinceMs = performance.now() - SLOW_CALL_MS;
    return hasRoom([...this.#members], this.#options.size, slowSinceMs)
      ? this.#add('pool')
      : undefined;
  }

  #retryWhenSlow(): void {
    if (this.#slowTimer !== undefined) return;
    this.#slowTimer = setTimeout(() => {
      this.#slowTimer = undefined;
      this.#dispatch();
    }, SLOW_CALL_MS);
  }

  #add(lane: CallRequest['lane']): Member {
    const member: Member = {
      client: this.#options.start(lane),
      lane,
      request: undefined,
      startedAtMs: 0,
      stuck: false,
      idleTimer: undefined,
    };
    this.#members.add(member);
    return member;
  }

  #begin(member: Member, request: CallRequest): void {
    clearTimeout(member.idleTimer);
    member.request = request;
    member.startedAtMs = performance.now();
    void member.client.perform(request).then((outcome) => this.#finish(member, outcome));
  }

  #finish(member: Member, outcome: CallOutcome): void {
    member.request = undefined;
    member.stuck = false;
    this.#options.onOutcome(outcome);
    if (member.lane !== 'pool') {
      this.#close(member);
    } else {
      member.idleTimer = setTimeout(() => this.#closeIfSpare(member), IDLE_THREAD_MS);
    }
    this.#dispatch();
  }

  #closeIfSpare(member: Member): void {
    if (member.request === undefined && this.#members.size > 1) this.#close(member);
  }

  #close(member: Member): void {
    this.#members.delete(member);
    clearTimeout(member.idleTimer);
    void member.client.close();
  }
}

/** A thread of a pool, as far as it matters for the others. */
export interface Busyness {
  readonly lane: CallRequest['lane'];
  readonly request: unknown;
  readonly startedAtMs: number;
}

/**
 * Whether another thread may be added for a call that waits: so many may have begun one lately. Those of long calls and of calls
 * that wait for guests do not count, or as many migrations would leave none for anything else.
 */
export function hasRoom(members: readonly Busyness[], size: number, slowSinceMs: number): boolean {
  const others = members.filter(({ lane }) => !isApart(lane));
  const quick = others.filter(
    ({ request, startedAtMs }) => request !== undefined && startedAtMs > slowSinceMs,
  );
  return others.length < MAX_THREADS && quick.length < size;
}

function isApart(lane: CallRequest['lane']): boolean {
  return lane === 'long' || lane === 'guest';
}
