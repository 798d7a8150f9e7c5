import { AgentError } from '../../src/core/errors.ts';
import type {
  TransferDriver,
  TransferRequest,
  TransferState,
  TransferStatus,
} from '../../src/drivers/transfers.ts';

interface Transfer {
  readonly request: TransferRequest;
  status: TransferStatus;
}

/** What lies between the nodes of a test: the destinations that listen, by port. */
export class FakeTransferNetwork {
  readonly listeners = new Map<number, { readonly node: FakeTransfers; readonly id: string }>();
  nextPort = 49_152;
}

/** Transfers that move nothing. Give both nodes of a test the same network; tests may make them fail. */
export class FakeTransfers implements TransferDriver {
  /** The next start fails with this error. */
  failStart: Error | undefined;
  /** Starts wait for this (or for their signal) after the transfer has begun. */
  gate: Promise<void> = Promise.resolve();
  /** Called when a transfer ends, however that may be. */
  onEnd: (id: string) => void = () => {};
  readonly requests: TransferRequest[] = [];
  /** The last limit of each transfer. */
  readonly bandwidths = new Map<string, number>();
  /** Why transfers were aborted. */
  readonly abortReasons = new Map<string, string>();
  readonly #network: FakeTransferNetwork;
  readonly #runDirectory: string;
  readonly #transfers = new Map<string, Transfer>();
  #changed = Promise.withResolvers<void>();

  constructor(network = new FakeTransferNetwork(), runDirectory = '/run/novacron') {
    this.#network = network;
    this.#runDirectory = runDirectory;
  }

  async start(request: TransferRequest, signal: AbortSignal): Promise<TransferStatus> {
    signal.throwIfAborted();
    const known = this.#transfers.get(request.id);
    if (known === undefined) {
      this.requests.push(request);
      this.#begin(request);
    }
    try {
      await Promise.race([this.gate, rejection(signal)]);
      if (this.failStart !== undefined) {
        const error = this.failStart;
        this.failStart = undefined;
        throw error;
      }
      return await this.#untilReady(request.id, signal);
    } catch (error) {
      if (known === undefined) this.#forget(request.id);
      throw error;
    }
  }

  async find(id: string, signal: AbortSignal): Promise<TransferStatus | undefined> {
    signal.throwIfAborted();
    return this.#transfers.get(id)?.status;
  }

  async list(signal: AbortSignal): Promise<readonly TransferStatus[]> {
    signal.throwIfAborted();
    return [...this.#transfers.values()].map(({ status }) => status);
  }

  async setBandwidth(id: string, bytesPerSecond: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const transfer = this.#transfers.get(id);
    if (transfer === undefined || hasEnded(transfer.status.state)) {
      throw new AgentError('STREAM_FAILED', `Transfer ${id} does not answer to setBandwidth`);
    }
    this.bandwidths.set(id, bytesPerSecond);
  }

  async stop(id: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#end(id, { state: 'finished' });
  }

  async abort(id: string, reason: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.abortReasons.set(id, reason);
    this.#end(id, { state: 'failed', failureCode: 'ABORTED', failureMessage: reason });
  }

  async remove(id: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    this.#forget(id);
  }

  socketPath(id: string, service: string): string {
    return `${this.#runDirectory}/transfers/${id}/${service}.sock`;
  }

  /** Lets a transfer fail by itself, as after a link that stayed down. */
  fail(id: string, message: string): void {
    this.#end(id, { state: 'failed', failureCode: 'LINK_LOST', failureMessage: message });
  }

  /** Kills the transfer's process without a word. */
  lose(id: string): void {
    this.#end(id, { state: 'lost', failureCode: 'PROCESS_LOST', failureMessage: 'It is gone' });
  }

  /** Changes what a transfer says of itself, such as its counters. */
  patch(id: string, patch: Partial<Omit<TransferStatus, 'id'>>): void {
    const transfer = this.#transfers.get(id);
    if (transfer === undefined) throw new Error(`There is no transfer ${id}`);
    transfer.status = { ...transfer.status, ...patch };
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  #begin(request: TransferRequest): void {
    const { id, role } = request;
    const listenPort = role === 'destination' ? this.#network.nextPort++ : 0;
    const state = role === 'destination' ? 'listening' : 'connecting';
    this.#transfers.set(id, { request, status: newStatus({ id, role, state, listenPort }) });
    this.bandwidths.set(id, request.bandwidthBytesPerSecond);
    if (role === 'destination') this.#network.listeners.set(listenPort, { node: this, id });
    const peer = this.#network.listeners.get(request.connect?.port ?? 0);
    if (peer === undefined) return;
    this.patch(id, { state: 'connected', lanesUp: 2 });
    peer.node.patch(peer.id, { state: 'connected', lanesUp: 2 });
  }

  async #untilReady(id: string, signal: AbortSignal): Promise<TransferStatus> {
    for (;;) {
      const status = this.#transfers.get(id)?.status;
      if (status === undefined || status.state === 'failed' || status.state === 'lost') {
        const why = status?.failureMessage ?? 'it has been removed';
        throw new AgentError('STREAM_FAILED', `Transfer ${id} failed: ${why}`);
      }
      if (status.state !== 'connecting') return status;
      await Promise.race([this.#changed.promise, rejection(signal)]);
    }
  }

  #end(id: string, end: Partial<TransferStatus>): void {
    const transfer = this.#transfers.get(id);
    if (transfer === undefined || hasEnded(transfer.status.state)) return;
    this.#network.listeners.delete(transfer.status.listenPort);
    this.patch(id, { ...end, lanesUp: 0 });
    this.onEnd(id);
  }

  #forget(id: string): void {
    this.#end(id, { state: 'finished' });
    this.#transfers.delete(id);
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}

function hasEnded(state: TransferState): boolean {
  return ['finished', 'failed', 'lost'].includes(state);
}

function newStatus(
  start: Pick<TransferStatus, 'id' | 'role' | 'state' | 'listenPort'>,
): TransferStatus {
  return {
    ...start,
    failureCode: '',
    failureMessage: '',
    lanesUp: 0,
    lanesConfigured: 2,
    reconnects: 0,
    stalledMs: 0,
    wireBytesSent: 0,
    wireBytesReceived: 0,
    rawBytesSent: 0,
    rawBytesReceived: 0,
  };
}

async function rejection(signal: AbortSignal): Promise<never> {
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return promise;
}
