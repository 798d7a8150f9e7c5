import type { AgentError } from '../../core/errors.ts';
import type { VmPeer, VmPeers } from '../vms/vm-peers.ts';
import type {
  HandshakeRequest,
  ImageSighting,
  IncomingBlocker,
  IncomingEnd,
  IncomingReport,
  IncomingVm,
  MarkedPlace,
  MigrationProgress,
  PeerHandshake,
} from './migration.ts';

/** Reaches the agents of other nodes. */
export interface Peers extends VmPeers {
  /**
   * The agent of a node. The address comes from the configuration unless given; fails with PEER_UNKNOWN if neither
   * has one. Connects only when used; a peer whose certificate names another node is refused with
   * PEER_UNREACHABLE.
   */
  find(nodeName: string, address: string | undefined): Peer;

  /**
   * The same for as long as `work` takes, by a connection of its own if the address is not configured: whatever is only asked
   * about takes nothing from migrations under way. Fails with PEER_UNREACHABLE while too many others are asked.
   */
  visit<T>(
    nodeName: string,
    address: string | undefined,
    work: (peer: Peer) => Promise<T>,
  ): Promise<T>;
}

/** The agent of another node. Calls fail with PEER_UNREACHABLE when it does not answer. */
export interface Peer extends VmPeer {
  handshake(request: HandshakeRequest, signal: AbortSignal): Promise<PeerHandshake>;
  check(incoming: IncomingVm, signal: AbortSignal): Promise<readonly IncomingBlocker[]>;
  /** What is there of a VM's images, in their order. Fails with PEER_INCOMPATIBLE where the peer knows no such call. */
  compareImages(
    vmUid: string,
    images: readonly MarkedPlace[],
    signal: AbortSignal,
  ): Promise<readonly ImageSighting[]>;
  prepare(
    request: {
      readonly migrationId: string;
      readonly incoming: IncomingVm;
      readonly transferToken: string;
    },
    signal: AbortSignal,
  ): Promise<{ readonly host: string; readonly port: number }>;
  get(migrationId: string, vmUid: string, signal: AbortSignal): Promise<IncomingReport>;
  /** Fails with PEER_INCOMPATIBLE where the peer knows no such call. */
  reportProgress(
    migrationId: string,
    progress: MigrationProgress,
    signal: AbortSignal,
  ): Promise<void>;
  release(
    migrationId: string,
    vmUid: string,
    end: IncomingEnd,
    signal: AbortSignal,
  ): Promise<{ readonly wireBytes: number | undefined }>;
}

/** Stands for a node that cannot be reached, for a reason that is known. */
export function silentPeer(nodeName: string, why: AgentError): Peer {
  const refuse = (): Promise<never> => Promise.reject(why);
  return {
    nodeName,
    handshake: refuse,
    check: refuse,
    compareImages: refuse,
    prepare: refuse,
    get: refuse,
    reportProgress: refuse,
    release: refuse,
    locate: refuse,
    handOver: refuse,
  };
}
