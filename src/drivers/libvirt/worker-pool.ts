import { Worker } from 'node:worker_threads';
import {
  type CallOutcome,
  type CallRequest,
  type CallWorkerSettings,
  partUrl,
  type ToCallWorker,
  type WorkerDiagnostics,
} from './driver-protocol.ts';

export interface WorkerPoolOptions {
  readonly uri: string;
  /** Workers that may make calls at the same time, not counting those whose call takes long. */
  readonly size: number;
  readonly onOutcome: (outcome: CallOutcome) => void;
  /** Too many Workers are stuck in calls that nobody waits for. */
  readonly onExhausted: (stuckWorkers: number) => void;
}

/** A call that takes longer no longer counts: another Worker stands in, so that slow VMs do not slow down others. */
const SLOW_CALL_MS = 300;
/** libvirt lets one job at a time work on a domain; a second call may still be needed to stop the first. */
const CALLS_PER_VM = 2;
const MAX_STUCK_WORKERS = 16;
const MAX_WORKERS = 40;
const IDLE_WORKER_MS = 60_000;

interface Member {
  readonly worker: Worker;
  readonly lane: CallRequest['lane'];
  request: CallRequest | undefined;
  startedAtMs: number;
  /** In a call that nobody waits for any more. A thread blocked in native code cannot be ended. */
  stuck: boolean;
  idleTimer: NodeJS.Timeout | undefined;
}

/** Hands calls to Workers. A thread of this pool may block for ever without stopping the others. */
export class WorkerPool {
  readonly #options: WorkerPoolOptions;
  readonly #members = new Set<Member>();
  readonly #waiting: CallRequest[] = [];
  readonly #diagnoses = new Map<number, (diagnostics: WorkerDiagnostics) => void>();
  #lastDiagnosis = 0;
  #slowTimer: NodeJS.Timeout | undefined;

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  get workers(): number {
    return this.#members.size;
  }

  get stuckWorkers(): number {
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

  /** Nobody waits for this call: it is not begun, or its Worker counts as stuck until it returns. */
  forget(id: number): void {
    const index = this.#waiting.findIndex((request) => request.id === id);
    if (index >= 0) this.#waiting.splice(index, 1);
    for (const member of this.#members) {
      if (member.request?.id === id && member.lane !== 'long') member.stuck = true;
    }
    const { stuckWorkers } = this;
    if (stuckWorkers > MAX_STUCK_WORKERS) this.#options.onExhausted(stuckWorkers);
    this.#dispatch();
  }

  /** Handles open in all Workers that are free to answer. */
  async diagnose(): Promise<WorkerDiagnostics> {
    const answers = await Promise.all(
      [...this.#members]
        .filter((member) => member.request === undefined)
        .map((member) => this.#diagnoseMember(member)),
    );
    return {
      openConnections: answers.reduce((sum, answer) => sum + answer.openConnections, 0),
      openDomains: answers.reduce((sum, answer) => sum + answer.openDomains, 0),
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
      if (lane !== 'long' && request?.uid === uid) calls += 1;
    }
    return calls;
  }

  #findIdle(): Member | undefined {
    for (const member of this.#members) {
      if (member.lane !== 'long' && member.request === undefined) return member;
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
    const settings: CallWorkerSettings = { uri: this.#options.uri, lane };
    const worker = new Worker(partUrl('call-worker'), { workerData: settings });
    const member: Member = {
      worker,
      lane,
      request: undefined,
      startedAtMs: 0,
      stuck: false,
      idleTimer: undefined,
    };
    this.#members.add(member);
    worker.on('message', (outcome: CallOutcome) => this.#finish(member, outcome));
    worker.on('error', (error) => this.#lose(member, error));
    worker.on('exit', () => this.#lose(member, new Error('The Worker ended')));
    return member;
  }

  #begin(member: Member, request: CallRequest): void {
    clearTimeout(member.idleTimer);
    member.request = request;
    member.startedAtMs = performance.now();
    post(member.worker, { kind: 'call', ...request });
  }

  #finish(member: Member, outcome: CallOutcome): void {
    const diagnosis = this.#diagnoses.get(outcome.id);
    if (diagnosis !== undefined && outcome.kind === 'result') {
      this.#diagnoses.delete(outcome.id);
      diagnosis(outcome.value as WorkerDiagnostics);
      return;
    }
    member.request = undefined;
    member.stuck = false;
    this.#options.onOutcome(outcome);
    if (member.lane !== 'pool') {
      this.#close(member);
    } else {
      member.idleTimer = setTimeout(() => this.#closeIfSpare(member), IDLE_WORKER_MS);
    }
    this.#dispatch();
  }

  #closeIfSpare(member: Member): void {
    if (member.request === undefined && this.#members.size > 1) this.#close(member);
  }

  #close(member: Member): void {
    this.#members.delete(member);
    clearTimeout(member.idleTimer);
    post(member.worker, { kind: 'close' });
  }

  /** A Worker that ends by itself has a bug; its call fails, and the next call gets a new Worker. */
  #lose(member: Member, error: Error): void {
    this.#members.delete(member);
    clearTimeout(member.idleTimer);
    const { request } = member;
    if (request === undefined) return;
    member.request = undefined;
    const failure = {
      kind: 'unexpected',
      message: error.message,
      stack: error.stack ?? '',
    } as const;
    this.#options.onOutcome({ kind: 'failure', id: request.id, failure });
    this.#dispatch();
  }

  #diagnoseMember(member: Member): Promise<WorkerDiagnostics> {
    return new Promise((resolve) => {
      // Negative, so that they are never a call's.
      this.#lastDiagnosis -= 1;
      const id = this.#lastDiagnosis;
      this.#diagnoses.set(id, resolve);
      post(member.worker, { kind: 'diagnose', id });
    });
  }
}

/** A Worker of a pool, as far as it matters for the others. */
export interface Busyness {
  readonly lane: CallRequest['lane'];
  readonly request: unknown;
  readonly startedAtMs: number;
}

/**
 * Whether another Worker may be added for a call that waits: so many may have begun one lately. Those of long calls do not
 * count, or as many migrations would leave none for anything else.
 */
export function hasRoom(members: readonly Busyness[], size: number, slowSinceMs: number): boolean {
  const others = members.filter(({ lane }) => lane !== 'long');
  const quick = others.filter(
    ({ request, startedAtMs }) => request !== undefined && startedAtMs > slowSinceMs,
  );
  return others.length < MAX_WORKERS && quick.length < size;
}

function post(worker: Worker, message: ToCallWorker): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a Worker, no window
  worker.postMessage(message);
}
