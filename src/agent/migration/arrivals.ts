import { delay } from '../../core/delay.ts';
import { AgentError, hasReason } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import { Turns } from '../../core/turns.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import { type HypervisorVm, isSplit } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import type { TransferDriver, TransferStatus } from '../../drivers/transfers.ts';
import type { CapacityLedger } from '../node/capacity-ledger.ts';
import { findTaker } from '../vms/moved-on.ts';
import type { Ownership } from '../vms/ownership.ts';
import type { VmLocator } from '../vms/vm-locator.ts';
import { commandNameOf } from '../vms/vm-words.ts';
import type { EarlyEnd } from './early-end.ts';
import { readFigures, resultOf } from './figures.ts';
import { holdingFor } from './incoming-check.ts';
import type { MigrationResult } from './migration.ts';
import type { MigrationBook } from './migration-book.ts';
import type { MigrationRecord, OtherNodeOff } from './migration-record.ts';
import { settleCommand } from './off-word.ts';
import { PACE, type Pace } from './pace.ts';
import { advance, complete, loseSight } from './progress.ts';

export interface ArrivalsOptions {
  readonly hypervisor: Pick<Hypervisor, 'domains' | 'jobs'>;
  readonly transfers: TransferDriver;
  readonly privateFiles: Pick<PrivateFiles, 'put' | 'remove'>;
  readonly book: MigrationBook;
  readonly capacity: CapacityLedger;
  readonly ownership: Ownership;
  readonly locks: KeyLocks;
  readonly tasks: TaskGroup;
  readonly locator: Pick<VmLocator, 'ask'>;
  /** Called when VMs of this node have changed. */
  readonly onChange: () => void;
  readonly pace?: Pace | undefined;
  readonly log: Logger;
}

const CALL_TIMEOUT_MS = 10_000;
/** By an agent that does not say why. */
const CALLED_OFF: EarlyEnd = {
  phase: 'failed',
  reason: 'MIGRATION_FAILED',
  message: 'The source called it off',
};

/** Follows VMs that come to this node until each has arrived or will not come. */
export class Arrivals {
  readonly #options: ArrivalsOptions;
  readonly #pace: Pace;
  /** That a VM has arrived and that it will not come are each recorded whole, so that only one of them is. */
  readonly #turns = new Turns();
  /** Resolved once nothing is held any more for those that are followed. */
  readonly #followed = new Map<string, Promise<void>>();

  constructor(options: ArrivalsOptions) {
    this.#options = options;
    this.#pace = options.pace ?? PACE;
  }

  /** Takes up what an earlier agent left. Call once, before anything else may change a VM. */
  resumeAll(): void {
    const { book, capacity, locks, tasks } = this.#options;
    for (const record of book.listActive('destination')) {
      const lock = locks.tryAcquire(record.vmUid, `migration ${record.id}`);
      if (lock === undefined) throw new Error('Migrations must be taken up before anything else');
      // Promised already, so it is not asked whether there is room.
      const { definition, running } = record;
      if (definition !== undefined) capacity.keep(holdingFor(definition, running));
      this.follow(record, lock);
    }
    tasks.run('leftover transfers', (signal) => this.#removeLeftovers(signal));
  }

  /** Watches an incoming VM until it has arrived or will not come; then frees its lock and what is held for it. */
  follow(record: MigrationRecord, lock: Disposable): void {
    const { capacity, tasks } = this.#options;
    const free = Promise.withResolvers<void>();
    this.#followed.set(record.id, free.promise);
    tasks.run('incoming migration', async (signal) => {
      try {
        while (!(await this.#hasEnded(record, signal))) await delay(this.#pace.lookMs, signal);
        // While the VM is still locked, so that they are not those of its next attempt.
        await this.#removeFiles(record, signal);
      } finally {
        capacity.release(record.vmUid);
        lock[Symbol.dispose]();
        this.#followed.delete(record.id);
        free.resolve();
      }
      await this.#removeTransfer(record.id, signal);
    });
  }

  /** Records that the VM is here. Repeating it is fine. */
  noteArrival({ id }: MigrationRecord, signal: AbortSignal): Promise<void> {
    const { book, ownership, onChange, log } = this.#options;
    return this.#turns.take(id, async () => {
      const record = book.active(id);
      if (record === undefined) return;
      const { definition, ownershipEpoch, phase, otherNodeOff, peerNode } = record;
      const isSettled = otherNodeOff !== undefined;
      const unconfirmed = { fromNode: peerNode, migrationId: id, isSettled };
      if (definition !== undefined) {
        await ownership.own({ ...definition, ownershipEpoch }, unconfirmed);
      }
      if (phase === 'preparing') await book.move(id, 'copying');
      await book.move(id, 'cleaning-up');
      const result = await this.#resultOf(record, signal);
      await book.move(id, 'completed', { result, message: offMessage(record) });
      onChange();
      log.info({ migrationId: id, vmId: record.vmUid, peer: record.peerNode }, 'VM arrived');
    });
  }

  /** What is known of it here, the source not having told yet: not when it was asked for, so not how long it took. */
  async #resultOf({ id, vmUid }: MigrationRecord, signal: AbortSignal): Promise<MigrationResult> {
    const { book, hypervisor, transfers } = this.#options;
    const figures = await readFigures(hypervisor.jobs, vmUid, brief(signal));
    const transfer = await transfers.find(id, brief(signal)).catch(() => undefined);
    book.setProgress(id, complete(book.progressOf(id), figures, transfer));
    return resultOf({ totalMs: undefined, figures, transfer });
  }

  /** Makes sure that a VM will never run here. Fails with MIGRATION_PAST_SWITCHOVER if it has arrived. */
  async callOff(
    record: MigrationRecord,
    signal: AbortSignal,
    why: EarlyEnd = CALLED_OFF,
  ): Promise<void> {
    const { otherNodeOff } = this.#options.book.active(record.id) ?? record;
    // By the word that its source is off for good it is this node's.
    if (otherNodeOff !== undefined) throw pastSwitchover(record);
    await this.drop(record, signal);
    await this.end(record, why);
    // Whoever is told that it is over may begin anew.
    await untilAborted(this.#followed.get(record.id) ?? Promise.resolve(), signal);
    const { phase } = (await this.#options.book.find(record.id)) ?? record;
    if (phase === 'completed') throw pastSwitchover(record);
  }

  /** Records that the VM does not come. Repeating it is fine. */
  end({ id, peerNode }: MigrationRecord, why: EarlyEnd): Promise<void> {
    const { book, onChange, log } = this.#options;
    return this.#turns.take(id, async () => {
      if (book.active(id) === undefined) return;
      const { phase, reason, message } = why;
      await book.move(id, phase, { reason, message });
      onChange();
      log.info({ migrationId: id, peer: peerNode, reason: message }, 'VM did not come');
    });
  }

  /** Cuts off whatever still comes, and returns once nothing of the VM is here. Fails as `callOff` does. */
  async drop(record: MigrationRecord, signal: AbortSignal): Promise<void> {
    const { hypervisor, transfers, log } = this.#options;
    // With the transfer gone, the source's libvirt can say nothing more, and ours drops what it has received.
    await transfers.remove(record.id, signal);
    const deadlineMs = performance.now() + this.#pace.dropTimeoutMs;
    for (let patient = true; ; await delay(this.#pace.lookMs, signal)) {
      const vm = await hypervisor.domains.find(record.vmUid, brief(signal));
      const arrival = arrivalOf(vm, record.ownershipEpoch);
      if (arrival === 'absent') return;
      if (arrival === 'arrived') throw pastSwitchover(record);
      if (!patient || performance.now() < deadlineMs) continue;
      patient = false;
      log.warn({ migrationId: record.id }, 'libvirt keeps a VM whose source is gone; removing it');
      await hypervisor.domains.destroy(record.vmUid, brief(signal)).catch(unlessGone);
      await hypervisor.domains.undefine(record.vmUid, brief(signal));
    }
  }

  /** One look. Whatever goes wrong with it, a full disk under the journal too, the VM is followed on. */
  async #hasEnded(record: MigrationRecord, signal: AbortSignal): Promise<boolean> {
    const { book, log } = this.#options;
    try {
      if (book.active(record.id) !== undefined) await this.#look(record, signal);
      return book.active(record.id) === undefined;
    } catch (error) {
      signal.throwIfAborted();
      log.debug({ migrationId: record.id, err: error }, 'Cannot look at an incoming VM');
      return false;
    }
  }

  async #look(record: MigrationRecord, signal: AbortSignal): Promise<void> {
    const { hypervisor, transfers, book } = this.#options;
    const [vm, transfer] = await Promise.all([
      hypervisor.domains.find(record.vmUid, brief(signal)),
      transfers.find(record.id, signal),
    ]);
    const { phase, otherNodeOff } = book.active(record.id) ?? {};
    if (phase === undefined) return;
    if (otherNodeOff !== undefined) return await this.#takeOver(record, otherNodeOff, vm, signal);
    book.setProgress(record.id, advance(book.progressOf(record.id), undefined, transfer));
    // Its source is needed until the last page is here.
    if (holdsSource(vm)) return await this.#waitForSource(record, transfer, vm, signal);
    const arrival = arrivalOf(vm, record.ownershipEpoch);
    if (arrival === 'arrived' || phase === 'cleaning-up') return this.noteArrival(record, signal);
    if (arrival === 'receiving' && phase === 'preparing') await this.#noteReceiving(record);
    // What has stopped here may be all that is left of the VM: only its source may have it dropped.
    if (isAlive(transfer)) return;
    if (vm?.state === 'stopped') return await this.#waitForSource(record, transfer, vm, signal);
    await this.drop(record, signal);
    const why = transfer?.failureMessage || 'The transfer ended before the VM had arrived';
    await this.end(record, { phase: 'failed', reason: 'MIGRATION_FAILED', message: why });
  }

  /** Only its source can say what is to become of it, unless that is off for good. */
  async #waitForSource(
    record: MigrationRecord,
    transfer: TransferStatus | undefined,
    vm: HypervisorVm | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { book, locks, locator, ownership, hypervisor, transfers, onChange, log } = this.#options;
    const { id, vmUid, vmNamespace: namespace, vmName: name, peerNode, ownershipEpoch } = record;
    if (isAlive(transfer)) return;
    const what = holdsSource(vm) ? 'for the rest of its memory from' : 'for the word of';
    const message = `Waiting ${what} node ${peerNode}, where it came from; if that node is off for good, its memory is lost, and its disks are not: ${settleCommand(id, peerNode)}`;
    if (book.get(id).message !== message) {
      book.note(id, message);
      locks.advise(vmUid, message);
      onChange();
    }
    // The source may have moved it on since, and be gone.
    const beyond = findTaker(await locator.ask(vmUid, signal), peerNode, ownershipEpoch);
    if (beyond === undefined) return await delay(this.#pace.lookMaxMs, signal);
    log.error(
      { migrationId: id, vmId: vmUid, peer: beyond.nodeName },
      'The source was told that this node is off for good, and has the VM; what is here of it is removed',
    );
    const vmToRelease = { uid: vmUid, namespace, name };
    await ownership.release(vmToRelease, beyond.ownershipEpoch, beyond.nodeName);
    await transfers.remove(id, signal);
    await hypervisor.domains.destroy(vmUid, brief(signal));
    await hypervisor.domains.undefine(vmUid, brief(signal));
    const why = `Node ${peerNode} was told that this node is off for good, and has taken the VM back`;
    await this.end(record, { phase: 'failed', reason: 'MIGRATION_FAILED', message: why });
  }

  /** By somebody's word its source is off for good: what is left here is the VM. */
  async #takeOver(
    record: MigrationRecord,
    off: OtherNodeOff,
    vm: HypervisorVm | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { book, hypervisor, transfers } = this.#options;
    const epoch = vm?.definition?.ownershipEpoch ?? 0;
    if (vm === undefined || !vm.persistent || epoch < record.ownershipEpoch) {
      await transfers.remove(record.id, signal);
      if (vm !== undefined) await hypervisor.domains.destroy(vm.uid, brief(signal));
      const message = `Node ${record.peerNode} is off for good by the word of ${off.saidBy}, and nothing of the VM had come that could run`;
      return await this.end(record, { phase: 'failed', reason: 'MIGRATION_FAILED', message });
    }
    if (holdsSource(vm)) {
      await book.noteOtherNodeOff(record.id, { ...off, memoryLost: true });
      await hypervisor.domains.destroy(vm.uid, brief(signal));
      return;
    }
    await this.noteArrival(record, signal);
  }

  async #noteReceiving({ id }: MigrationRecord): Promise<void> {
    const { book } = this.#options;
    await this.#turns.take(id, async () => {
      if (book.active(id)?.phase !== 'preparing') return;
      // Until the source tells, nobody here knows how far it is.
      book.setProgress(id, loseSight(book.progressOf(id)));
      await book.move(id, 'copying');
    });
  }

  /** Those of a VM that has not come. What cannot be removed now is when the next agent starts. */
  async #removeFiles({ id, vmUid }: MigrationRecord, signal: AbortSignal): Promise<void> {
    const { book, privateFiles, hypervisor, log } = this.#options;
    try {
      const { phase } = (await book.find(id)) ?? {};
      if (phase !== 'failed' && phase !== 'cancelled') return;
      await privateFiles.remove(vmUid, brief(signal));
      await hypervisor.domains.removeFiles(vmUid, brief(signal));
    } catch (error) {
      signal.throwIfAborted();
      log.warn(
        { migrationId: id, err: error },
        'Could not remove the files of a VM that did not come',
      );
    }
  }

  /** The source's libvirt still has to hear that the VM runs here, so the transfer may not go at once. */
  async #removeTransfer(id: string, signal: AbortSignal): Promise<void> {
    const { transfers, book } = this.#options;
    const record = await book.find(id);
    const arrived = record?.role === 'destination' && record.phase === 'completed';
    const deadlineMs = performance.now() + (arrived ? this.#pace.lastWordsMs : 0);
    while (performance.now() < deadlineMs && isAlive(await transfers.find(id, signal))) {
      await delay(this.#pace.lookMs, signal);
    }
    await transfers.remove(id, signal);
  }

  /** Transfers outlive the agent, and the one before may have been killed before it removed them. */
  async #removeLeftovers(signal: AbortSignal): Promise<void> {
    const { transfers, book } = this.#options;
    // Those of migrations that go on are removed at their end.
    const left = (await transfers.list(signal)).filter(({ id }) => book.active(id) === undefined);
    await Promise.all(left.map(({ id }) => this.#removeTransfer(id, signal)));
  }
}

/** Said of one that has come without its memory; empty otherwise. */
function offMessage({ otherNodeOff, peerNode, vmNamespace, vmName }: MigrationRecord): string {
  if (otherNodeOff === undefined) return '';
  const commandName = commandNameOf({ namespace: vmNamespace, name: vmName });
  return `Memory of it was lost with node ${peerNode}, which is off for good by the word of ${otherNodeOff.saidBy}; it is off, here, with its disks as they were. To have it run again: novactl vm start ${commandName}`;
}

export type Arrival = 'absent' | 'receiving' | 'arrived';

/**
 * A VM has arrived once it is more than a receiver of memory, and carries at least the epoch of its new owner. The
 * source gives up its own copy on this word, so every doubt counts as receiving.
 */
export function arrivalOf(vm: HypervisorVm | undefined, ownershipEpoch: number): Arrival {
  if (vm === undefined) return 'absent';
  // It runs, and its source has lost the guest to it. Before all doubts, since what is receiving may be destroyed.
  if (isSplit(vm)) return 'arrived';
  const epoch = vm.definition?.ownershipEpoch ?? 0;
  if (vm.state === 'incoming' || epoch < ownershipEpoch) return 'receiving';
  // libvirt makes a VM persistent only when it has finished; a receiver that dies is never that, whatever its state.
  if (!vm.persistent) return 'receiving';
  const waiting =
    vm.state === 'paused' && (vm.stateReason === 'migration' || vm.stateReason === 'starting-up');
  // libvirt could not let the guest run (say, an image was locked), which leaves a copy that was never alive.
  const stillborn = vm.state === 'stopped' && vm.stateReason === 'failed';
  return waiting || stillborn || vm.state === 'unknown' ? 'receiving' : 'arrived';
}

/** Whether the VM runs here while its memory still comes from its source, or should. */
export function holdsSource(vm: HypervisorVm | undefined): boolean {
  return vm !== undefined && isSplit(vm);
}

export function isAlive(transfer: TransferStatus | undefined): boolean {
  return transfer !== undefined && !['finished', 'failed', 'lost'].includes(transfer.state);
}

export function pastSwitchover(record: MigrationRecord): AgentError {
  return new AgentError(
    'MIGRATION_PAST_SWITCHOVER',
    `Cannot call off migration ${record.id}: VM ${record.vmName} has arrived`,
    { metadata: { migrationId: record.id } },
  );
}

function unlessGone(error: unknown): void {
  if (!hasReason(error, 'VM_NOT_FOUND')) throw error;
}

function brief(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]);
}
