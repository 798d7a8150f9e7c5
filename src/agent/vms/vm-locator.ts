import { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { VmPeer, VmPeers, VmPresence, VmSighting } from './vm-peers.ts';

export interface VmLocatorOptions {
  readonly nodeName: string;
  readonly peers: VmPeers;
  /** How long all nodes together may take to answer. Default 2 s. */
  readonly askTimeoutMs?: number | undefined;
  readonly log: Logger;
}

/** What one node has said of a VM. */
export interface Answer extends Pick<VmSighting, 'isOwner' | 'isRunning'> {
  readonly peer: VmPeer;
  /** `unknown` also if it could not be asked. */
  readonly presence: VmPresence;
  /** Undefined also if it could not be asked. */
  readonly ownershipEpoch?: number | undefined;
}

const ASK_TIMEOUT_MS = 2_000;
const RETRY_AFTER_MS = 1_000;

/** Asks the other nodes for VMs. */
export class VmLocator {
  readonly #options: VmLocatorOptions;

  constructor(options: VmLocatorOptions) {
    this.#options = options;
  }

  /** Asks all nodes at once; one that does not answer holds up none of the others. */
  async ask(
    vmUid: string,
    signal: AbortSignal,
    askTimeoutMs = this.#options.askTimeoutMs ?? ASK_TIMEOUT_MS,
  ): Promise<readonly Answer[]> {
    const { nodeName, peers, log } = this.#options;
    const brief = AbortSignal.any([signal, AbortSignal.timeout(askTimeoutMs)]);
    const others = peers.list().filter((peer) => peer.nodeName !== nodeName);
    return Promise.all(
      others.map(async (peer): Promise<Answer> => {
        try {
          return { peer, ...(await untilAborted(peer.locate(vmUid, brief), brief)) };
        } catch (error) {
          signal.throwIfAborted();
          log.debug({ vmId: vmUid, peer: peer.nodeName, err: error }, 'A node cannot be asked');
          return { peer, presence: 'unknown', isOwner: false, isRunning: false };
        }
      }),
    );
  }

  /**
   * Must be called before a VM is made, with its uid locked: of two nodes that make it at the same time, at least one hears
   * of the other. Fails with VM_ALREADY_EXISTS if a node has it, and with VM_BUSY if one is about to. Returns what is to be
   * said of those that could not be asked.
   */
  async assertNowhere(
    { uid, name }: Pick<VmDefinition, 'uid' | 'name'>,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const answers = await this.ask(uid, signal);
    const nodes = (wanted: VmPresence): string =>
      answers
        .filter(({ presence }) => presence === wanted)
        .map(({ peer }) => peer.nodeName)
        .join(', ');
    const [holders, coming, silent] = [nodes('held'), nodes('coming'), nodes('unknown')];
    if (holders !== '') {
      throw new AgentError(
        'VM_ALREADY_EXISTS',
        `Cannot create VM ${name}: node ${holders} has a VM with uid ${uid}; use that one, delete it there, or choose another uid`,
        { metadata: { vmId: uid, nodeName: holders } },
      );
    }
    if (coming !== '') {
      throw new AgentError(
        'VM_BUSY',
        `Cannot create VM ${name}: node ${coming} is about to have a VM with uid ${uid}; try again when it is known whether it has`,
        { metadata: { vmId: uid, nodeName: coming }, retryAfterMs: RETRY_AFTER_MS },
      );
    }
    if (silent === '') return [];
    return [
      `Node ${silent} could not be asked whether it has a VM with uid ${uid}; see to it that it does not run there too`,
    ];
  }
}
