import { AgentError, hasReason } from '../../core/errors.ts';
import { auditLog } from '../../core/logger.ts';
import type { DiskProbe, ImageSighting, MarkedPlace } from '../../drivers/disk-probe.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import { findBeyond, silentOf, whyNotOurs, whyNotSilent } from '../vms/moved-on.ts';
import { Arrivals, arrivalOf, holdsSource, isAlive, pastSwitchover } from './arrivals.ts';
import type { EarlyEnd } from './early-end.ts';
import { readFigures } from './figures.ts';
import { checkIncoming } from './incoming-check.ts';
import type {
  HandshakeRequest,
  IncomingBlocker,
  IncomingEnd,
  IncomingReport,
  IncomingService,
  IncomingVm,
  MigrationProgress,
  PeerHandshake,
} from './migration.ts';
import { type MigrationRecord, newRecord } from './migration-record.ts';
import { notWaiting } from './off-word.ts';
import { PACE } from './pace.ts';
import type { Peers } from './peers.ts';
import { Preparation, type PreparationOptions, type PrepareRequest } from './preparation.ts';
import { adopt } from './progress.ts';
import { assertFeatures, PEER_FEATURES, PEER_PROTOCOL_MAX, PEER_PROTOCOL_MIN } from './protocol.ts';
import { isFinal } from './states.ts';

export interface IncomingManagerOptions extends PreparationOptions {
  readonly hypervisor: Pick<Hypervisor, 'host' | 'domains' | 'jobs'>;
  readonly agentVersion: string;
  readonly peers: Pick<Peers, 'list'>;
  readonly diskProbe: Pick<DiskProbe, 'look'>;
}

const CALL_TIMEOUT_MS = 10_000;
/** How long all other nodes may take to say whether the VM has got to one of them. */
const ASK_OTHERS_MS = 5_000;

const NOT_WANTED = {
  phase: 'failed',
  reason: 'MIGRATION_CANCELLED',
  message: 'Not wanted',
} as const;

const NOT_HERE = { ownershipEpoch: 0, holdsSource: false, figures: undefined } as const;

/** Answers the nodes that VMs come from, with the truth about their VMs here. */
export class IncomingManager implements IncomingService {
  readonly #options: IncomingManagerOptions;
  readonly #arrivals: Arrivals;
  readonly #preparation: Preparation;

  constructor(options: IncomingManagerOptions) {
    this.#options = options;
    this.#arrivals = new Arrivals(options);
    this.#preparation = new Preparation(options, this.#arrivals);
  }

  /** Takes up what an earlier agent left. Call once, before anything else may change a VM. */
  resumeAll(): void {
    this.#arrivals.resumeAll();
  }

  /** Has a VM that is arriving stay where it comes from; one that has arrived, or comes by no migration of agents, is left alone. */
  async turnAway(vmUid: string, why: string, signal: AbortSignal): Promise<void> {
    const { book } = this.#options;
    const record = book.listActive('destination').find((active) => active.vmUid === vmUid);
    if (record === undefined) return;
    try {
      const end = { phase: 'failed', reason: 'MIGRATION_FAILED', message: why } as const;
      await this.#arrivals.callOff(record, signal, end);
    } catch (error) {
      if (!hasReason(error, 'MIGRATION_PAST_SWITCHOVER')) throw error;
    }
  }

  async handshake(request: HandshakeRequest, signal: AbortSignal): Promise<PeerHandshake> {
    const protocol = Math.min(PEER_PROTOCOL_MAX, request.protocolMax);
    if (protocol < Math.max(PEER_PROTOCOL_MIN, request.protocolMin)) {
      throw new AgentError(
        'PEER_INCOMPATIBLE',
        `Cannot work with agent ${request.agentVersion}: it speaks versions ${request.protocolMin} to ${request.protocolMax} of the peer protocol, this one (${this.#options.agentVersion}) ${PEER_PROTOCOL_MIN} to ${PEER_PROTOCOL_MAX}; upgrade the older of the two`,
      );
    }
    assertFeatures(request.requiredFeatures);
    const { hostUuid } = await this.#options.hypervisor.host.getInfo(signal);
    return {
      features: PEER_FEATURES,
      protocol,
      agentVersion: this.#options.agentVersion,
      nodeName: this.#options.nodeName,
      hostUuid,
    };
  }

  check(
    incoming: IncomingVm,
    _caller: string,
    signal: AbortSignal,
  ): Promise<readonly IncomingBlocker[]> {
    return checkIncoming(incoming, this.#options, signal);
  }

  compareImages(
    images: readonly MarkedPlace[],
    signal: AbortSignal,
  ): Promise<readonly ImageSighting[]> {
    return this.#options.diskProbe.look(images, signal);
  }

  async prepare(
    request: PrepareRequest,
    caller: string,
    signal: AbortSignal,
  ): Promise<{ readonly host: string; readonly port: number }> {
    const known = await this.#recordOf(request.migrationId, caller);
    return known === undefined
      ? await this.#preparation.prepare(request, caller, signal)
      : await this.#preparation.answerAgain(known, request, signal);
  }

  async get(
    migrationId: string,
    vmUid: string,
    caller: string,
    signal: AbortSignal,
  ): Promise<IncomingReport> {
    const record = await this.#recordOf(migrationId, caller);
    let vm: HypervisorVm | undefined;
    try {
      vm = await this.#options.hypervisor.domains.find(vmUid, this.#brief(signal));
    } catch (error) {
      signal.throwIfAborted();
      this.#options.log.debug({ migrationId, err: error }, 'Cannot look at an incoming VM');
      return { ...NOT_HERE, state: 'unknown' };
    }
    const ownershipEpoch = vm?.definition?.ownershipEpoch ?? 0;
    // It arrived, whatever has become of it since.
    const settled = record?.phase === 'completed' || record?.phase === 'cleaning-up';
    if (settled || arrivalOf(vm, record?.ownershipEpoch ?? 1) === 'arrived') {
      const figures = await readFigures(this.#options.hypervisor.jobs, vmUid, this.#brief(signal));
      return { state: 'arrived', ownershipEpoch, holdsSource: holdsSource(vm), figures };
    }
    if (vm !== undefined) return { ...NOT_HERE, state: 'receiving', ownershipEpoch };
    const prepared = record !== undefined && !isFinal(record.phase);
    if (prepared) return { ...NOT_HERE, state: 'prepared' };
    // It may have been here so long ago that the record is forgotten, and then this is not. One that was deleted begins anew.
    const known = record === undefined ? this.#options.ownership.find(vmUid) : undefined;
    const knownEpoch = known?.isDeleted === false ? known.ownershipEpoch : 0;
    return { ...NOT_HERE, state: 'absent', ownershipEpoch: knownEpoch };
  }

  async reportProgress(
    migrationId: string,
    progress: MigrationProgress,
    caller: string,
  ): Promise<void> {
    const { book } = this.#options;
    await this.#recordOf(migrationId, caller);
    book.setProgress(migrationId, adopt(book.progressOf(migrationId), progress));
  }

  async release(
    migrationId: string,
    vmUid: string,
    end: IncomingEnd,
    caller: string,
    signal: AbortSignal,
  ): Promise<{ readonly wireBytes: number | undefined }> {
    const { transfers, book } = this.#options;
    const record = await this.#recordOf(migrationId, caller);
    const transfer = await transfers.find(migrationId, signal);
    const wireBytes = transfer && transfer.wireBytesReceived + transfer.wireBytesSent;
    if (end.outcome === 'abort') {
      await this.#abort({ migrationId, vmUid, end: endOf(end) }, caller, signal);
      return { wireBytes };
    }
    if (record !== undefined && !isFinal(record.phase)) {
      const vm = await this.#options.hypervisor.domains.find(vmUid, signal);
      if (arrivalOf(vm, record.ownershipEpoch) !== 'arrived' || holdsSource(vm)) {
        throw new AgentError('VM_NOT_FOUND', `VM ${record.vmName} has not arrived yet`, {
          retryAfterMs: (this.#options.pace ?? PACE).lookMs,
        });
      }
      await this.#arrivals.noteArrival(record, signal);
    }
    if (end.result !== undefined) await book.addResult(migrationId, end.result);
    const { phase } = (await book.find(migrationId)) ?? {};
    await this.#confirm(migrationId, vmUid);
    if (phase === 'completed') await transfers.remove(migrationId, signal);
    return { wireBytes };
  }

  /**
   * By somebody's word that the source is off for good: what is here is the VM, whatever was not heard of it. Fails with
   * MIGRATION_NOT_WAITING unless the source is waited for.
   */
  async settle(record: MigrationRecord, saidBy: string, signal: AbortSignal): Promise<void> {
    const { book, ownership, log } = this.#options;
    const { id, vmUid, peerNode, phase, otherNodeOff } = record;
    const isUnconfirmed = ownership.unconfirmed(vmUid)?.migrationId === id;
    // An agent that was killed may have recorded the word, and not what follows from it.
    if (otherNodeOff === undefined || isUnconfirmed) {
      if (isFinal(phase) && !isUnconfirmed) throw notWaiting(id, `it has ended (${phase})`);
      await this.#assertSilent(record, signal);
      const unasked = await this.#askOthers(record, signal);
      if (!isFinal(phase)) await this.#assertLeft(record, signal);
      await book.noteOtherNodeOff(id, { saidBy, atMs: Date.now(), memoryLost: false });
      const about = { migrationId: id, vmId: vmUid, peer: peerNode, requestedBy: saidBy, unasked };
      auditLog(log).warn(about, 'A node is off for good by the word of the caller');
    }
    if (isUnconfirmed) await ownership.settle(vmUid);
  }

  async #assertLeft({ id, vmUid }: MigrationRecord, signal: AbortSignal): Promise<void> {
    const { hypervisor, transfers } = this.#options;
    const [vm, transfer] = await Promise.all([
      hypervisor.domains.find(vmUid, this.#brief(signal)),
      transfers.find(id, signal),
    ]);
    const isLeft = holdsSource(vm) || vm?.state === 'stopped';
    if (isLeft && !isAlive(transfer)) return;
    throw notWaiting(id, 'it goes on; what does not come any more ends by itself');
  }

  /** The node that a VM came from has given it up. */
  async #confirm(migrationId: string, vmUid: string): Promise<void> {
    const { ownership } = this.#options;
    if (ownership.unheardOf(vmUid)?.migrationId === migrationId) await ownership.confirm(vmUid);
  }

  /** Whoever answers says by itself what has become of the VM there. */
  async #assertSilent(record: MigrationRecord, signal: AbortSignal): Promise<void> {
    const { id, vmUid: uid, peerNode, ownershipEpoch } = record;
    const peer = this.#options.peers.list().find(({ nodeName }) => nodeName === peerNode);
    if (peer === undefined) return;
    const why = await whyNotSilent(peer, { uid, ownershipEpoch }, signal, this.#brief(signal));
    if (why !== undefined) throw notWaiting(id, why);
  }

  /**
   * The source may have taken the VM back, and moved it on before it was lost. Returns who does not answer. What another node
   * has is given up by the controller that asks them all.
   */
  async #askOthers(
    { id, vmUid, peerNode, ownershipEpoch }: MigrationRecord,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const asked = await this.#options.locator.ask(vmUid, signal, ASK_OTHERS_MS);
    const answers = asked.filter(({ peer }) => peer.nodeName !== peerNode);
    const beyond = findBeyond(answers, ownershipEpoch);
    if (beyond !== undefined) {
      const { nodeName, ownershipEpoch: since } = beyond;
      throw notWaiting(
        id,
        `node ${nodeName} has the VM since epoch ${since}; what is here is not the VM any more`,
      );
    }
    const why = whyNotOurs(answers, ownershipEpoch);
    if (why !== undefined) throw notWaiting(id, why);
    return silentOf(answers);
  }

  /** Makes sure that the VM of this migration will never run here. Fails with MIGRATION_PAST_SWITCHOVER if it does. */
  async #abort(asked: Aborting, caller: string, signal: AbortSignal): Promise<void> {
    const { migrationId, vmUid, end } = asked;
    const record = await this.#recordOf(migrationId, caller);
    if (record === undefined) {
      await this.#assertNotHere(migrationId, vmUid, signal);
      // Nothing was prepared. A record keeps a late request to prepare from being honoured.
      const begun = await this.#options.book.begin(tombstone(asked, caller));
      // Unless it was prepared in the meantime, so that there is something to call off.
      if (!begun.created) await this.#abort(asked, caller, signal);
      return;
    }
    switch (record.phase) {
      case 'failed':
      case 'cancelled':
        return;
      case 'cleaning-up':
      case 'completed':
        throw pastSwitchover(record);
      default:
        await this.#arrivals.callOff(record, signal, end);
    }
  }

  /** A caller that prepared nothing here has no say over any VM that is here, only a right to the truth. */
  async #assertNotHere(id: string, vmUid: string, signal: AbortSignal): Promise<void> {
    const vm = await this.#options.hypervisor.domains.find(vmUid, this.#brief(signal));
    if (vm === undefined) return;
    throw new AgentError(
      'MIGRATION_PAST_SWITCHOVER',
      `Cannot call off migration ${id}: node ${this.#options.nodeName} knows nothing of it, but has the VM`,
      { metadata: { migrationId: id } },
    );
  }

  /** Only the node that a migration comes from may ask about it. */
  async #recordOf(migrationId: string, caller: string): Promise<MigrationRecord | undefined> {
    const record = await this.#options.book.find(migrationId);
    if (record === undefined || (record.role === 'destination' && record.peerNode === caller)) {
      return record;
    }
    throw new AgentError(
      'PERMISSION_DENIED',
      `Migration ${migrationId} does not come from node ${caller}`,
      { metadata: { migrationId } },
    );
  }

  #brief(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
  }
}

interface Aborting {
  readonly migrationId: string;
  readonly vmUid: string;
  /** Undefined if the source does not say. */
  readonly end: EarlyEnd | undefined;
}

function endOf({ reason, message }: Extract<IncomingEnd, { outcome: 'abort' }>) {
  if (reason === undefined || message === undefined) return undefined;
  const phase = reason === 'MIGRATION_CANCELLED' ? 'cancelled' : 'failed';
  return { phase, reason, message } as const;
}

/** The record of a migration that was called off before anything was prepared for it. */
function tombstone({ migrationId: id, vmUid, end }: Aborting, peerNode: string): MigrationRecord {
  const { phase, reason, message } = end ?? NOT_WANTED;
  const record = newRecord({
    id,
    role: 'destination',
    vmUid,
    vmNamespace: '',
    vmName: '',
    spec: undefined,
    labels: {},
    peerNode,
    peerAddress: undefined,
    transferToken: '',
    ownershipEpoch: 0,
    definition: undefined,
    running: undefined,
  });
  const { startedAtMs } = record;
  const phases = [{ phase, startedAtMs }];
  return { ...record, phase, phases, endedAtMs: startedAtMs, reason, message };
}
