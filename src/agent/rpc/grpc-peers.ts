import { MAX_RECONNECT_MS } from '../../client/connection.ts';
import { AgentError } from '../../core/errors.ts';
import type { Peer, Peers } from '../migration/peers.ts';
import type { Certificates } from './certificates.ts';
import { GrpcPeer } from './grpc-peer.ts';

// A peer that restarts is back within a second or two, and one that was away for long must be found as soon as it is back; all
// its calls may be repeated.
const RETRY_WINDOW_MS = 2 * MAX_RECONNECT_MS;

/** Those of the configuration come on top. */
const MAX_KEPT = 256;
/** Each has a connection and takes half a minute at most. */
const MAX_VISITS = 16;

export interface GrpcPeersOptions {
  /** HOST:PORT by node name. */
  readonly addresses: Readonly<Record<string, string>>;
  readonly certificates: Certificates;
  /** How long a call waits for a peer that is not there; 2 s if not given. */
  readonly retryWindowMs?: number | undefined;
}

/** The agents of other nodes over gRPC, mutual TLS 1.3 with this node's certificate. */
export class GrpcPeers implements Peers, Disposable {
  readonly #addresses: Readonly<Record<string, string>>;
  readonly #certificates: Certificates;
  readonly #retryWindowMs: number;
  /** Those that are kept, the one that was used last at the end. */
  readonly #kept = new Map<string, GrpcPeer>();
  readonly #maxKept: number;
  readonly #visited = new Set<GrpcPeer>();
  readonly #stopWatching: () => void;

  constructor({ addresses, certificates, retryWindowMs = RETRY_WINDOW_MS }: GrpcPeersOptions) {
    this.#addresses = addresses;
    this.#retryWindowMs = retryWindowMs;
    this.#certificates = certificates;
    this.#maxKept = MAX_KEPT + Object.keys(addresses).length;
    // A connection made with the old certificate would be refused once that expires.
    this.#stopWatching = certificates.onChange(() => this.#disconnect());
  }

  find(nodeName: string, address: string | undefined): Peer {
    const target = this.#addressOf(nodeName, address);
    const key = `${nodeName}\n${target}`;
    const peer = this.#kept.get(key) ?? this.#newPeer(nodeName, target);
    this.#kept.delete(key);
    this.#kept.set(key, peer);
    this.#forgetIdle();
    return peer;
  }

  async visit<T>(
    nodeName: string,
    address: string | undefined,
    work: (peer: Peer) => Promise<T>,
  ): Promise<T> {
    const target = this.#addressOf(nodeName, address);
    if (target === this.#configuredAddress(nodeName)) return work(this.find(nodeName, target));
    if (this.#visited.size >= MAX_VISITS) {
      throw new AgentError(
        'PEER_UNREACHABLE',
        `Cannot ask node ${nodeName} now: ${MAX_VISITS} other addresses are being tried; try again, or give it an address in the configuration's "peers"`,
        { metadata: { nodeName }, retryAfterMs: 1_000 },
      );
    }
    const peer = this.#newPeer(nodeName, target);
    this.#visited.add(peer);
    try {
      return await work(peer);
    } finally {
      this.#visited.delete(peer);
      peer.disconnect();
    }
  }

  list(): readonly Peer[] {
    return Object.keys(this.#addresses).map((nodeName) => this.find(nodeName, undefined));
  }

  [Symbol.dispose](): void {
    this.#stopWatching();
    this.#disconnect();
    this.#kept.clear();
  }

  #addressOf(nodeName: string, address: string | undefined): string {
    const target = address ?? this.#configuredAddress(nodeName);
    if (target !== undefined) return target;
    throw new AgentError(
      'PEER_UNKNOWN',
      `Cannot find node ${nodeName}: the request gives no address and the configuration's "peers" has none`,
      { metadata: { nodeName } },
    );
  }

  #configuredAddress(nodeName: string): string | undefined {
    return Object.hasOwn(this.#addresses, nodeName) ? this.#addresses[nodeName] : undefined;
  }

  #newPeer(nodeName: string, address: string): GrpcPeer {
    const certificates = this.#certificates;
    return new GrpcPeer(nodeName, address, { certificates, retryWindowMs: this.#retryWindowMs });
  }

  /** Addresses come with requests, so there may be any number of them. None that is being spoken to is forgotten. */
  #forgetIdle(): void {
    const idle = [...this.#kept].filter(([, peer]) => peer.isIdle);
    for (const [key, peer] of idle.slice(0, Math.max(0, this.#kept.size - this.#maxKept))) {
      this.#kept.delete(key);
      peer.disconnect();
    }
  }

  #disconnect(): void {
    for (const peer of [...this.#kept.values(), ...this.#visited]) peer.disconnect();
  }
}
