import type { FileOwner } from './hypervisor-host.ts';

/** Moves the bytes of a migration between two nodes. Transfers are processes of their own and outlive the agent. */
export interface TransferDriver {
  /**
   * Starts a transfer and returns once it is `listening` (destination) or `connected` (source).
   * Starting the same id again returns the running one.
   */
  start(request: TransferRequest, signal: AbortSignal): Promise<TransferStatus>;

  /** A transfer that runs, or has ended and is not yet removed; undefined if there is none. */
  find(id: string, signal: AbortSignal): Promise<TransferStatus | undefined>;

  /** All transfers of this node, also those started by an earlier agent. */
  list(signal: AbortSignal): Promise<readonly TransferStatus[]>;

  /** Limits all bytes of the transfer together; 0 is unlimited. Fails with STREAM_FAILED unless it runs. */
  setBandwidth(id: string, bytesPerSecond: number, signal: AbortSignal): Promise<void>;

  /** Ends a transfer in good order. One that has ended counts as stopped. */
  stop(id: string, signal: AbortSignal): Promise<void>;

  /** Cuts all its connections and ends it. One that has ended counts as done. */
  abort(id: string, reason: string, signal: AbortSignal): Promise<void>;

  /** Ends the transfer if it still runs and removes every file of it. Repeating it is fine. */
  remove(id: string, signal: AbortSignal): Promise<void>;

  /** Where a service's socket of a transfer is on this node. */
  socketPath(id: string, service: string): string;
}

export interface TransferRequest {
  /** UUID; the migration's. */
  readonly id: string;
  readonly role: 'source' | 'destination';
  /** The other node's identity, such as `spiffe://novacron/node/b`; its certificate must carry it. */
  readonly peerName: string;
  /** 32 random bytes in hex, known to both ends of this transfer only. */
  readonly token: string;
  /** Source: where the destination's transfer listens. */
  readonly connect: { readonly host: string; readonly port: number } | undefined;
  readonly bandwidthBytesPerSecond: number;
  /** Whether the bytes may be compressed; the driver's settings may say no for all. Default true. */
  readonly compression?: boolean;
  readonly services: readonly TransferService[];
}

interface TransferService {
  /** `libvirt`, `ram`, … */
  readonly name: string;
  /** Source: the unix socket listened on. Destination: the unix socket connected to. */
  readonly path: string;
  readonly priority: 'interactive' | 'bulk';
  /**
   * Who else must get at the socket, if that is not root: the source's transfer gives it to them, the destination's
   * lets them make it in its folder.
   */
  readonly owner?: FileOwner | undefined;
}

export type TransferState =
  | 'starting'
  | 'listening'
  | 'connecting'
  | 'connected'
  | 'reconnecting'
  | 'finished'
  | 'failed'
  /** Its process is gone without having said how it ended. */
  | 'lost';

export interface TransferStatus {
  readonly id: string;
  readonly role: 'source' | 'destination';
  readonly state: TransferState;
  /** Why it failed, in words for people; empty unless `failed` or `lost`. */
  readonly failureCode: string;
  readonly failureMessage: string;
  readonly listenPort: number;
  readonly lanesUp: number;
  readonly lanesConfigured: number;
  readonly reconnects: number;
  readonly stalledMs: number;
  /** Encrypted bytes on the network, all lanes, both directions. */
  readonly wireBytesSent: number;
  readonly wireBytesReceived: number;
  /** Bytes taken from and given to the local sockets. */
  readonly rawBytesSent: number;
  readonly rawBytesReceived: number;
}
