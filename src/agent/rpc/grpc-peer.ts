import { setTimeout as delay } from 'node:timers/promises';
import { AgentClient } from '../../client/agent-client.ts';
import { AgentError, hasReason, type Reason } from '../../core/errors.ts';
import type { Peer } from '../migration/peers.ts';
import type { Certificates } from './certificates.ts';
import { toProgress, toResult } from './figure-conversion.ts';
import { fromImageSighting, toMarkedImage } from './image-conversion.ts';
import {
  fromIncomingBlocker,
  fromIncomingReport,
  fromSighting,
  OUTCOME,
  toIncomingFields,
} from './peer-conversion.ts';

const QUICK_DEADLINE_MS = 10_000;
const CHECK_DEADLINE_MS = 30_000;
const HAND_OVER_DEADLINE_MS = 15_000;
const PREPARE_DEADLINE_MS = 60_000;

const RETRY_INTERVAL_MS = 200;

const NO_ANSWER: readonly Reason[] = ['AGENT_UNREACHABLE', 'DEADLINE_EXCEEDED'];

type Work<Answer> = (
  client: AgentClient,
  options: { readonly signal: AbortSignal; readonly deadlineMs: number },
) => Promise<Answer>;

/** The agent of another node, by a connection that is made when it is first used, and made anew when it was lost. */
export class GrpcPeer implements Peer {
  readonly nodeName: string;
  readonly #address: string;
  readonly #certificates: Certificates;
  readonly #retryWindowMs: number;
  #client: Promise<AgentClient> | undefined;
  #running = 0;
  /** When the certificate expires that the other agent has shown: its connection may outlive it. */
  #expiresAtMs = Number.POSITIVE_INFINITY;

  constructor(
    nodeName: string,
    address: string,
    {
      certificates,
      retryWindowMs,
    }: { readonly certificates: Certificates; readonly retryWindowMs: number },
  ) {
    this.nodeName = nodeName;
    this.#address = address;
    this.#certificates = certificates;
    this.#retryWindowMs = retryWindowMs;
  }

  /** No call of it is under way. */
  get isIdle(): boolean {
    return this.#running === 0;
  }

  async handshake(...[request, signal]: Parameters<Peer['handshake']>) {
    return await this.#call(QUICK_DEADLINE_MS, signal, ({ peer }, options) =>
      peer.handshake({ ...request, requiredFeatures: [...request.requiredFeatures] }, options),
    );
  }

  async check(...[incoming, signal]: Parameters<Peer['check']>) {
    const request = toIncomingFields(incoming);
    const { blockers } = await this.#call(CHECK_DEADLINE_MS, signal, ({ peer }, options) =>
      peer.checkIncoming(request, options),
    );
    return blockers.map(fromIncomingBlocker);
  }

  async compareImages(...[vmUid, places, signal]: Parameters<Peer['compareImages']>) {
    const request = { virtualMachineUid: vmUid, images: places.map(toMarkedImage) };
    const { images } = await this.#call(CHECK_DEADLINE_MS, signal, ({ peer }, options) =>
      peer.compareImages(request, options),
    );
    return images.map(fromImageSighting);
  }

  async prepare(...[request, signal]: Parameters<Peer['prepare']>) {
    const { migrationId, incoming, transferToken } = request;
    const message = { migrationId, transferToken, ...toIncomingFields(incoming) };
    const answer = await this.#call(PREPARE_DEADLINE_MS, signal, ({ peer }, options) =>
      peer.prepareIncoming(message, options),
    );
    return { host: answer.transferHost, port: answer.transferPort };
  }

  async get(...[migrationId, vmUid, signal]: Parameters<Peer['get']>) {
    const request = { migrationId, virtualMachineUid: vmUid };
    return fromIncomingReport(
      await this.#call(QUICK_DEADLINE_MS, signal, ({ peer }, options) =>
        peer.getIncoming(request, options),
      ),
    );
  }

  async reportProgress(...[migrationId, progress, signal]: Parameters<Peer['reportProgress']>) {
    const request = { migrationId, progress: toProgress(progress) };
    await this.#call(QUICK_DEADLINE_MS, signal, ({ peer }, options) =>
      peer.reportProgress(request, options),
    );
  }

  async release(...[migrationId, vmUid, end, signal]: Parameters<Peer['release']>) {
    const outcome = OUTCOME[end.outcome];
    const result = end.outcome === 'commit' && end.result ? toResult(end.result) : undefined;
    const { reason = '', message = '' } = end.outcome === 'abort' ? end : {};
    const request = { migrationId, virtualMachineUid: vmUid, outcome, result, reason, message };
    const { wireBytes } = await this.#call(CHECK_DEADLINE_MS, signal, ({ peer }, options) =>
      peer.releaseIncoming(request, options),
    );
    // By its comment in the proto.
    return { wireBytes: wireBytes === 0n ? undefined : Number(wireBytes) };
  }

  async locate(...[vmUid, signal]: Parameters<Peer['locate']>) {
    return fromSighting(
      await this.#call(QUICK_DEADLINE_MS, signal, ({ peer }, options) =>
        peer.locateVirtualMachine({ virtualMachineUid: vmUid }, options),
      ),
    );
  }

  async handOver(...[vmUid, ownershipEpoch, signal]: Parameters<Peer['handOver']>) {
    const request = { virtualMachineUid: vmUid, ownershipEpoch: BigInt(ownershipEpoch) };
    const answer = await this.#call(HAND_OVER_DEADLINE_MS, signal, ({ peer }, options) =>
      peer.handOverVirtualMachine(request, options),
    );
    return Number(answer.ownershipEpoch);
  }

  /** Calls still running fail with PEER_UNREACHABLE; the next one connects anew. */
  disconnect(): void {
    const client = this.#client;
    this.#client = undefined;
    void client?.then(
      (open) => open[Symbol.dispose](),
      () => undefined,
    );
  }

  async #call<Answer>(
    deadlineMs: number,
    signal: AbortSignal,
    work: Work<Answer>,
  ): Promise<Answer> {
    this.#running += 1;
    try {
      return await this.#tryRepeatedly(deadlineMs, signal, work);
    } finally {
      this.#running -= 1;
    }
  }

  async #tryRepeatedly<Answer>(
    deadlineMs: number,
    signal: AbortSignal,
    work: Work<Answer>,
  ): Promise<Answer> {
    const startedAt = performance.now();
    while (true) {
      const elapsedMs = performance.now() - startedAt;
      try {
        return await work(await this.#connected(), { signal, deadlineMs: deadlineMs - elapsedMs });
      } catch (error) {
        signal.throwIfAborted();
        if (!hasReason(error, 'AGENT_UNREACHABLE') || elapsedMs > this.#retryWindowMs)
          throw this.#explain(error);
      }
      await delay(RETRY_INTERVAL_MS, undefined, { signal }).catch(() => signal.throwIfAborted());
    }
  }

  #connected(): Promise<AgentClient> {
    // Whoever has a new certificate shows it now.
    if (Date.now() >= this.#expiresAtMs) this.disconnect();
    if (this.#client !== undefined) return this.#client;
    this.#expiresAtMs = Number.POSITIVE_INFINITY;
    const client = AgentClient.open({
      address: this.#address,
      nodeName: this.nodeName,
      tls: this.#certificates.files,
      onIdentified: (expiresAtMs) => {
        this.#expiresAtMs = expiresAtMs;
      },
    });
    this.#client = client;
    // Files that cannot be read now may be readable at the next call.
    client.catch(() => {
      if (this.#client === client) this.#client = undefined;
    });
    return client;
  }

  /** What the peer's agent said is passed on under its name; everything else means that it was not reached. */
  #explain(error: unknown): unknown {
    if (!(error instanceof AgentError)) return error;
    const { metadata, message, violations, retryAfterMs } = error;
    const options = {
      cause: error,
      metadata: { ...metadata, nodeName: this.nodeName },
      violations,
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    };
    const status = metadata['grpcStatus'];
    if (status === 'UNIMPLEMENTED') {
      return new AgentError(
        'PEER_INCOMPATIBLE',
        `Node ${this.nodeName} does not know this call: its agent is of another version`,
        options,
      );
    }
    const isAnswer = status === undefined && !NO_ANSWER.includes(error.reason);
    if (isAnswer) {
      return new AgentError(error.reason, `Node ${this.nodeName}: ${message}`, options);
    }
    return new AgentError(
      'PEER_UNREACHABLE',
      `Cannot reach the agent of node ${this.nodeName}: ${message}; check that it runs, that the address is right, and that its certificate and ours come from the same CA and name the right nodes`,
      options,
    );
  }
}
