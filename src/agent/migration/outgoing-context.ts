import { AgentError, hasReason } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { Slots } from '../../core/slots.ts';
import type { DiskProbe } from '../../drivers/disk-probe.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import type { VmStateReason } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import type { TransferDriver, TransferStatus } from '../../drivers/transfers.ts';
import type { Ownership } from '../vms/ownership.ts';
import type { VmLocator } from '../vms/vm-locator.ts';
import { resultOf, totalMsOf, withKnown } from './figures.ts';
import type { ArrivalFigures, IncomingVm, MigrationResult } from './migration.ts';
import type { MigrationBook, MovePatch } from './migration-book.ts';
import type { MigrationRecord, OtherNodeOff } from './migration-record.ts';
import type { OffWord } from './off-word.ts';
import { PACE, type Pace } from './pace.ts';
import type { Peers } from './peers.ts';
import { advance } from './progress.ts';
import { isFinal, type MigrationPhase } from './states.ts';

/** What the preflight has found to be in order. */
export interface Way {
  readonly incoming: IncomingVm;
  readonly destinationHostUuid: string;
}

export interface OutgoingOptions {
  readonly nodeName: string;
  readonly hypervisor: Pick<Hypervisor, 'host' | 'domains' | 'jobs' | 'events'>;
  readonly transfers: TransferDriver;
  readonly privateFiles: Pick<PrivateFiles, 'read' | 'remove'>;
  readonly diskProbe: Pick<DiskProbe, 'mark'>;
  readonly peers: Peers;
  readonly book: MigrationBook;
  readonly ownership: Ownership;
  readonly locator: Pick<VmLocator, 'ask'>;
  readonly locks: KeyLocks;
  readonly defaults: {
    readonly maxDowntimeMs: number;
    readonly bandwidthBytesPerSecond: number;
  };
  /** Called when VMs of this node have changed. */
  readonly onChange: () => void;
  readonly pace?: Pace | undefined;
  /** Who may have the hypervisor send a VM. */
  readonly turns: Slots;
  /** What is to be sent of a VM as it is now, where nothing stands in the way. */
  readonly findWay: (record: MigrationRecord, signal: AbortSignal) => Promise<Way>;
  readonly log: Logger;
}

const CALL_TIMEOUT_MS = 10_000;

/** What is known of one outgoing migration while the agent works on it. */
export class OutgoingContext {
  readonly id: string;
  readonly options: OutgoingOptions;
  readonly log: Logger;
  cancelRequested: boolean;
  timedOut = false;
  /** The guest may have been stopped for the switchover, and so may run at the destination. */
  mayHaveSwitchedOver = false;
  /** Nobody looked for a while, so that the guest may have been stopped for the switchover unseen. */
  wasUnwatched = false;
  /** Memory of the guest was seen on its way. */
  hasCopied = false;
  /** Somebody's word that the other node is off for good, until it was weighed. */
  offWord: OffWord | undefined;
  /** Its job has ended or was lost sight of, and both nodes are looked at for where the VM is. */
  isSettling = false;
  /** Why the VM is off here, in the hypervisor's words, once it was found to be: it went off while it moved. */
  offReason: VmStateReason | undefined;
  /** When the hypervisor said that the VM runs at the destination; undefined unless somebody was there to hear it. */
  endSeenAtMs: number | undefined;
  #stoppingSinceMs: number | undefined;
  #figures: ArrivalFigures | undefined;
  #lastTransfer: TransferStatus | undefined;
  #turn: AsyncDisposable | undefined;
  #record: MigrationRecord;
  #failure: AgentError | undefined;
  #brokenTransfer: AgentError | undefined;

  constructor(record: MigrationRecord, options: OutgoingOptions) {
    this.id = record.id;
    this.#record = record;
    this.options = options;
    this.cancelRequested = record.cancelRequested;
    this.log = options.log.child({ migrationId: record.id, vmId: record.vmUid });
  }

  get record(): MigrationRecord {
    return this.#record;
  }

  get pace(): Pace {
    return this.options.pace ?? PACE;
  }

  /** Of a broken transfer the hypervisor only sees sockets that close, so the transfer explains it. */
  get failure(): AgentError | undefined {
    const failure = this.#failure;
    if (!hasReason(failure, 'MIGRATION_FAILED', 'HYPERVISOR_REFUSED')) {
      return failure ?? this.#brokenTransfer;
    }
    return this.#brokenTransfer ?? (this.hasCopied ? brokenOff(failure) : failure);
  }

  get figures(): ArrivalFigures | undefined {
    return this.#figures;
  }

  /** The transfer as it was at the end; undefined if it could not be looked at then. */
  get lastTransfer(): TransferStatus | undefined {
    return this.#lastTransfer;
  }

  get mustStop(): boolean {
    return this.cancelRequested || this.timedOut;
  }

  /** The phase is in the journal when this resolves. */
  async move(phase: MigrationPhase, patch?: MovePatch): Promise<void> {
    this.#record = await this.options.book.move(this.id, phase, patch);
    this.options.locks.advise(this.#record.vmUid, undefined);
    this.log.debug({ phase }, 'Migration moved on');
    if (!isFinal(phase)) this.options.onChange();
  }

  /** Waits until few enough others are under way, and says so meanwhile. `endTurn` lets the next one go on. */
  async takeTurn(signal: AbortSignal): Promise<void> {
    const { turns, book } = this.options;
    if (turns.free === 0) {
      const message = `Waiting for its turn: this node sends ${turns.count} VMs at once, and ${turns.waiting + turns.count} others are before it`;
      book.note(this.id, message);
    }
    this.#turn = await turns.take(signal);
    book.note(this.id, '');
  }

  /** Says what is waited for, to whoever looks at the migration or the VM, or wants something of the VM. */
  noteWaiting(message: string): void {
    const { book, locks, onChange } = this.options;
    if (book.get(this.id).message === message) return;
    book.note(this.id, message);
    locks.advise(this.#record.vmUid, message);
    onChange();
  }

  /** It has had its turn, from an earlier agent. */
  resumeTurn(): void {
    this.#turn ??= this.options.turns.occupy();
  }

  /** Nothing of it is sent any more. Repeating it is fine. */
  async endTurn(): Promise<void> {
    const turn = this.#turn;
    this.#turn = undefined;
    await turn?.[Symbol.asyncDispose]();
  }

  async recordTurn(): Promise<void> {
    this.#record = await this.options.book.noteTurn(this.id);
  }

  /** What was said of the other node; undefined unless somebody has said that it is off for good. */
  get otherNodeOff(): OtherNodeOff | undefined {
    return this.options.book.active(this.id)?.otherNodeOff;
  }

  /** The node that this one has given the VM up to, or has heard to have it since; what is left here is not the VM. */
  get givenUpTo(): string | undefined {
    const { vmUid, ownershipEpoch } = this.#record;
    const left = this.options.ownership.find(vmUid)?.left;
    return left !== undefined && left.epoch >= ownershipEpoch ? left.toNode : undefined;
  }

  /** Records that the destination owns the VM from now on. */
  async recordRelease(): Promise<void> {
    const { vmUid, vmNamespace, vmName, ownershipEpoch, peerNode } = this.#record;
    await this.options.ownership.release(
      { uid: vmUid, namespace: vmNamespace, name: vmName },
      ownershipEpoch,
      peerNode,
    );
  }

  noteFailure(error: unknown): void {
    // Without the hypervisor's word nobody knows how far it came.
    if (hasReason(error, 'HYPERVISOR_UNREACHABLE', 'HYPERVISOR_TIMEOUT')) {
      this.mayHaveSwitchedOver = true;
    }
    if (error instanceof AgentError) {
      this.#failure = error;
      return;
    }
    this.log.error({ err: error }, 'Unexpected failure of a migration');
    this.#failure = new AgentError(
      'MIGRATION_FAILED',
      'The migration failed for a reason that the log of the agent has',
      { cause: error },
    );
  }

  /** One look at the job and its transfer; tells the hypervisor to stop if that is wanted. */
  async look(signal: AbortSignal): Promise<void> {
    const { hypervisor, transfers, book } = this.options;
    const uid = this.#record.vmUid;
    if (this.mustStop) await this.#stop(signal);
    const [job, transfer] = await Promise.all([
      hypervisor.jobs.getJob(uid, signal),
      transfers.find(this.id, signal),
    ]);
    if (job !== undefined && job.memoryTotalBytes > 0n) this.hasCopied = true;
    this.noteTransfer(transfer);
    book.setProgress(this.id, advance(book.progressOf(this.id), job, transfer));
  }

  noteTransfer(transfer: TransferStatus | undefined): void {
    if (transfer?.state !== 'failed' && transfer?.state !== 'lost') return;
    this.#brokenTransfer ??= new AgentError(
      'STREAM_FAILED',
      `The transfer to node ${this.#record.peerNode} broke: ${transfer.failureMessage}; the VM stays on node ${this.options.nodeName}`,
    );
  }

  noteFigures(figures: ArrivalFigures | undefined): void {
    if (figures !== undefined) this.#figures = withKnown(this.#figures, figures);
  }

  /** A look at the transfer that has done its work. Once it is removed there is nothing to be seen any more. */
  async noteLastOfTransfer(signal: AbortSignal): Promise<void> {
    const { transfers } = this.options;
    this.#lastTransfer ??= await transfers.find(this.id, this.brief(signal)).catch(() => undefined);
    this.noteTransfer(this.#lastTransfer);
  }

  /** What the migration has come to, as far as that is known now. */
  result(): MigrationResult {
    const { endSeenAtMs, figures, lastTransfer: transfer } = this;
    const totalMs = totalMsOf(this.#record, endSeenAtMs, figures);
    return resultOf({ totalMs, figures, transfer });
  }

  /** A signal for one call that should answer soon. */
  brief(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
  }

  async #stop(signal: AbortSignal): Promise<void> {
    this.#stoppingSinceMs ??= performance.now();
    try {
      await this.options.hypervisor.jobs.abortJob(this.#record.vmUid, this.brief(signal));
    } catch (error) {
      signal.throwIfAborted();
      this.log.debug({ err: error }, 'The hypervisor does not stop the migration');
    }
    const isPatient = performance.now() - this.#stoppingSinceMs < this.pace.stopTimeoutMs;
    if (isPatient || this.hasCopied || this.mayHaveSwitchedOver) return;
    // libvirt asks the other one without a deadline before it begins, and hears of no end meanwhile, unless the way is cut.
    this.log.warn(
      'The hypervisor does not stop a migration that has not begun; its transfer is ended',
    );
    await this.options.transfers.remove(this.id, this.brief(signal));
  }
}

/** What the hypervisor had begun it has not refused. */
function brokenOff({ message, metadata, cause }: AgentError): AgentError {
  return new AgentError('MIGRATION_FAILED', message, { metadata, cause });
}
