import { randomBytes } from 'node:crypto';
import { delay } from '../../core/delay.ts';
import { AgentError, hasReason, isHypervisorAway } from '../../core/errors.ts';
import { parseBitRate } from '../../core/quantity.ts';
import { untilAborted } from '../../core/until-aborted.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDisk } from '../../drivers/hypervisor-domains.ts';
import type { HypervisorEvent } from '../../drivers/hypervisor-events.ts';
import { assertUnblocked } from './blockers.ts';
import { checkDisks } from './disk-check.ts';
import { localDiskBlockers } from './disk-judge.ts';
import { conclude, type Ending } from './endings.ts';
import { figuresOf } from './figures.ts';
import type { IncomingVm, MigrationSpec } from './migration.ts';
import { type MigrationRecord, newRecord } from './migration-record.ts';
import { notWaiting } from './off-word.ts';
import { OutgoingContext, type OutgoingOptions, type Way } from './outgoing-context.ts';
import { type Peer, silentPeer } from './peers.ts';
import { switchingOver } from './progress.ts';
import { ProgressTeller } from './progress-teller.ts';
import { LIBVIRT_SERVICE, MEMORY_SERVICE, nodeIdentity } from './protocol.ts';
import { callOff, settle } from './settlement.ts';
import { isCancellable } from './states.ts';

/** Node's timers fire at once when given more. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/**
 * One migration as its source drives it. Every phase is in the journal before what it stands for is done, so an
 * agent that was killed can go on from there. Once it copies, libvirt carries the migration through by itself.
 */
export class OutgoingMigration {
  readonly id: string;
  readonly #context: OutgoingContext;
  readonly #interrupt = new AbortController();
  readonly #lock: Disposable;
  /** The record of the switchover, once that has been seen. */
  #switchover: Promise<void> | undefined;
  /** What is to be sent, where this agent was asked for it; what an earlier one was asked for is looked at anew. */
  #way: Way | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** Takes over the VM's lock. Begins on its way to the destination, or else goes on from the record's phase. */
  constructor(
    record: MigrationRecord,
    parts: { readonly lock: Disposable; readonly way: Way | undefined },
    options: OutgoingOptions,
  ) {
    this.id = record.id;
    this.#lock = parts.lock;
    this.#way = parts.way;
    this.#context = new OutgoingContext(record, options);
    // Before any of those that wait for theirs can take it.
    if (hasBegun(record)) this.#context.resumeTurn();
    if (record.cancelRequested) this.cancel();
  }

  /** The journal's record of a migration that is about to begin. */
  static newRecord(
    id: string,
    definition: VmDefinition,
    spec: MigrationSpec,
    labels: MigrationRecord['labels'],
  ): MigrationRecord {
    return newRecord({
      id,
      role: 'source',
      vmUid: definition.uid,
      vmNamespace: definition.namespace,
      vmName: definition.name,
      spec,
      labels,
      peerNode: spec.destinationNode,
      peerAddress: spec.destinationAddress,
      transferToken: randomBytes(32).toString('hex'),
      ownershipEpoch: definition.ownershipEpoch + 1,
      definition,
      running: undefined,
    });
  }

  /** Stops the migration as soon as that is possible; its outcome tells whether it was in time. */
  cancel(): void {
    this.#context.cancelRequested = true;
    this.#interrupt.abort(new AgentError('MIGRATION_CANCELLED', 'Cancelled by a caller'));
  }

  /**
   * By somebody's word that the destination is off for good. Resolves once that is recorded; fails with MIGRATION_NOT_WAITING
   * unless this migration waits for the destination.
   */
  async settle(saidBy: string, signal: AbortSignal): Promise<void> {
    const { record, isSettling } = this.#context;
    if (!isSettling) {
      throw notWaiting(this.id, `it is ${record.phase} and goes on; call it off if it shall not`);
    }
    if (this.#context.offWord !== undefined) {
      throw notWaiting(this.id, 'somebody else says the same just now; look at it again');
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const word = { saidBy, accept: resolve, refuse: reject };
    this.#context.offWord = word;
    try {
      await untilAborted(promise, signal);
    } finally {
      if (this.#context.offWord === word) this.#context.offWord = undefined;
    }
  }

  /**
   * To the end, and then frees the VM. A migration is never left half way: whatever breaks (say, a full disk), it is
   * taken up again.
   */
  async carryThrough(signal: AbortSignal): Promise<void> {
    using _lock = this.#lock;
    using _timer = { [Symbol.dispose]: () => clearTimeout(this.#timer) };
    await using _turn = { [Symbol.asyncDispose]: () => this.#context.endTurn() };
    using _word = {
      [Symbol.dispose]: () => this.#context.offWord?.refuse(notWaiting(this.id, 'it has ended')),
    };
    const { pace, log } = this.#context;
    if (hasBegun(this.#context.record)) this.#startTimer();
    for (let pauseMs = pace.retryMs; ; pauseMs = Math.min(2 * pauseMs, pace.retryMaxMs)) {
      try {
        const peer = this.#findPeer();
        const ending = await this.#reachEnd(peer, signal);
        return await conclude(ending, this.#context, peer, signal);
      } catch (error) {
        signal.throwIfAborted();
        log.error({ err: error }, 'Migration interrupted; it will be taken up again');
        await delay(pauseMs, signal);
      }
    }
  }

  async #reachEnd(peer: Peer, signal: AbortSignal): Promise<Ending> {
    const context = this.#context;
    // Only the first attempt begins anything.
    if (hasBegun(context.record)) return await this.#resume(peer, signal);
    let way: Way;
    let disks: readonly HypervisorDisk[];
    let blueprint: string | undefined;
    try {
      const either = AbortSignal.any([signal, this.#interrupt.signal]);
      // Before anything is set aside at the destination.
      await context.takeTurn(either);
      way = this.#way ?? (await this.#findWay(either));
      either.throwIfAborted();
      await context.recordTurn();
      this.#startTimer();
      await this.#prepare(peer, way.incoming, either);
      disks = await this.#compareDisks(peer, either);
      const { options, record } = context;
      blueprint = await options.hypervisor.domains.readBlueprint(record.vmUid, either);
    } catch (error) {
      // If the agent is stopping, its successor finds in the journal what was begun.
      signal.throwIfAborted();
      await context.endTurn();
      if (!hasBegun(context.record) && hasReason(error, 'STORAGE_FULL', 'JOURNAL_FAILURE'))
        throw error;
      return await this.#giveUp(error, peer, signal);
    }
    await using _teller = new ProgressTeller(context, peer, signal);
    await context.move('copying', { blueprint });
    const copied = await this.#copy(way.destinationHostUuid, disks, signal);
    // A destination that is gone is waited for as long as it takes, and the others not for that.
    await context.endTurn();
    return copied ? 'moved' : await settle(context, peer, signal);
  }

  /** As it is now: an agent that has just started must first hear from its hypervisor. */
  async #findWay(signal: AbortSignal): Promise<Way> {
    const { options, record, pace } = this.#context;
    for (let pauseMs = pace.retryMs; ; pauseMs = Math.min(2 * pauseMs, pace.retryMaxMs)) {
      try {
        return await options.findWay(record, signal);
      } catch (error) {
        signal.throwIfAborted();
        if (!isHypervisorAway(error) && !hasReason(error, 'STATE_NOT_READY')) throw error;
        await delay(pauseMs, signal);
      }
    }
  }

  /** Goes on with what an earlier agent, or an earlier attempt, began. */
  async #resume(peer: Peer, signal: AbortSignal): Promise<Ending> {
    const context = this.#context;
    const { phase } = context.record;
    context.log.info({ phase }, 'Migration taken up again');
    if (phase === 'preparing') {
      const message = 'It was interrupted while it was being prepared; start another one';
      return await this.#giveUp(new AgentError('MIGRATION_FAILED', message), peer, signal);
    }
    if (phase === 'cleaning-up') return 'moved';
    // A guest that was stopped for a switchover meanwhile and runs here again says so by its state's reason, which settling
    // looks at.
    context.wasUnwatched = true;
    if (phase === 'switching-over') context.mayHaveSwitchedOver = true;
    await using _teller = new ProgressTeller(context, peer, signal);
    return await settle(context, peer, signal);
  }

  /** Nothing was copied, so the VM stays, whatever the destination says. */
  async #giveUp(error: unknown, peer: Peer, signal: AbortSignal): Promise<Ending> {
    this.#context.noteFailure(error);
    await callOff(this.#context, peer, signal);
    return 'stayed';
  }

  /** One that nobody knows the address of any more is waited for as one that does not answer. */
  #findPeer(): Peer {
    const { record, options } = this.#context;
    try {
      return options.peers.find(record.peerNode, record.peerAddress);
    } catch (error) {
      if (!hasReason(error, 'PEER_UNKNOWN')) throw error;
      return silentPeer(record.peerNode, error);
    }
  }

  async #prepare(peer: Peer, incoming: IncomingVm, signal: AbortSignal): Promise<void> {
    const { hypervisor, transfers, defaults } = this.#context.options;
    const { processOwner } = await hypervisor.host.getInfo(signal);
    const { transferToken, spec } = this.#context.record;
    const destination = await peer.prepare(
      { migrationId: this.id, incoming, transferToken },
      signal,
    );
    await transfers.start(
      {
        id: this.id,
        role: 'source',
        peerName: nodeIdentity(peer.nodeName),
        token: transferToken,
        connect: destination,
        bandwidthBytesPerSecond: bytesPerSecond(spec, incoming) ?? defaults.bandwidthBytesPerSecond,
        compression: incoming.definition.spec.migrationPolicy?.compression !== false,
        services: [
          { ...this.#service(LIBVIRT_SERVICE), priority: 'interactive' },
          { ...this.#service(MEMORY_SERVICE), priority: 'bulk', owner: processOwner },
        ],
      },
      signal,
    );
    signal.throwIfAborted();
  }

  /**
   * The disks as they are now, compared once more: since the migration was asked for somebody may have mounted something, or
   * taken a snapshot.
   */
  async #compareDisks(peer: Peer, signal: AbortSignal): Promise<readonly HypervisorDisk[]> {
    const { options, record } = this.#context;
    const vm = await options.hypervisor.domains.find(record.vmUid, signal);
    // That it has gone, or does not run any more, the hypervisor says.
    if (vm === undefined || record.spec === undefined) return [];
    const { blockers } = await checkDisks(vm, record.spec, peer, options, signal);
    assertUnblocked([...localDiskBlockers(vm, options.nodeName), ...blockers], record.vmName);
    signal.throwIfAborted();
    return vm.disks;
  }

  #service(name: string): { readonly name: string; readonly path: string } {
    return { name, path: this.#context.options.transfers.socketPath(this.id, name) };
  }

  /** True if the hypervisor says that the VM runs at the destination and is gone here. */
  async #copy(
    owner: string,
    disks: readonly HypervisorDisk[],
    signal: AbortSignal,
  ): Promise<boolean> {
    const { hypervisor, transfers, defaults } = this.#context.options;
    const { vmUid, spec, ownershipEpoch } = this.#context.record;
    const done = new AbortController();
    const looking = this.#look(AbortSignal.any([signal, done.signal]));
    try {
      await hypervisor.jobs.migrate(
        vmUid,
        {
          transport: {
            kind: 'stream',
            destinationSocket: transfers.socketPath(this.id, LIBVIRT_SERVICE),
            memorySocket: transfers.socketPath(this.id, MEMORY_SERVICE),
          },
          mode: 'precopy',
          copiedVolumes: [],
          disks,
          maxDowntimeMs: spec?.maxDowntimeMs ?? defaults.maxDowntimeMs,
          bandwidthBytesPerSecond: undefined,
          destinationFacts: { ownershipEpoch, owner },
        },
        signal,
      );
      this.#context.endSeenAtMs = Date.now();
      return true;
    } catch (error) {
      signal.throwIfAborted();
      this.#context.noteFailure(error);
      // Now, because once the destination lets go, the transfer breaks whatever the reason was.
      const transfer = transfers.find(this.id, this.#context.brief(signal));
      this.#context.noteTransfer(await transfer.catch(() => undefined));
      return false;
    } finally {
      done.abort();
      await looking;
    }
  }

  /** Follows the job until aborted: its progress, its switchover, a wish to stop it. */
  async #look(signal: AbortSignal): Promise<void> {
    const following = this.#followEvents(signal);
    while (!signal.aborted) {
      await this.#context.look(signal).catch((error: unknown) => {
        if (!signal.aborted) this.#context.log.debug({ err: error }, 'Cannot look at the job');
      });
      await delay(this.#context.pace.lookMs, signal).catch(() => undefined);
    }
    await following;
  }

  async #followEvents(signal: AbortSignal): Promise<void> {
    for await (const event of this.#context.options.hypervisor.events.watch(signal)) {
      this.#noteEvent(event);
    }
    await this.#switchover;
  }

  async #recordSwitchover(): Promise<void> {
    const { book } = this.#context.options;
    try {
      book.setProgress(this.id, switchingOver(book.progressOf(this.id)));
      await this.#context.move('switching-over');
    } catch (error) {
      this.#context.log.warn({ err: error }, 'Could not record what a migration has come to');
    }
  }

  #noteEvent(event: HypervisorEvent): void {
    const context = this.#context;
    // The event of the switchover may be among those that are lost now.
    if (event.kind === 'disconnected') context.mayHaveSwitchedOver = true;
    if (!('uid' in event) || event.uid !== context.record.vmUid) return;
    if (event.kind === 'migration-iteration') context.hasCopied = true;
    if (event.kind === 'job-completed' && event.statistics.downtimeMs !== undefined) {
      context.noteFigures(figuresOf(event.statistics));
    }
    const stopped = event.kind === 'lifecycle' && event.event === 'suspended';
    if (!stopped || !event.byMigration) return;
    context.mayHaveSwitchedOver = true;
    // Not waited for here: the next event may be the last that there is of the job.
    if (context.record.phase === 'copying') this.#switchover ??= this.#recordSwitchover();
  }

  /** The time that it may take does not run while it waits for its turn. */
  #startTimer(): void {
    const { spec, startedAtMs, turnAtMs = startedAtMs } = this.#context.record;
    if (spec?.timeoutMs === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(
      () => {
        const { phase } = this.#context.record;
        if (this.#switchover !== undefined || !isCancellable(phase)) return;
        this.#context.timedOut = true;
        this.#interrupt.abort(new AgentError('MIGRATION_TIMEOUT', 'The migration took too long'));
      },
      Math.min(Math.max(0, turnAtMs + spec.timeoutMs - Date.now()), MAX_TIMER_MS),
    );
  }
}

/** Whether its turn had come, so that there may be something of it at the destination. */
function hasBegun({ phase, turnAtMs }: MigrationRecord): boolean {
  return phase !== 'preparing' || turnAtMs !== undefined;
}

/** What the caller asked for, else what the VM's policy says; undefined leaves it to the node. */
function bytesPerSecond(
  spec: MigrationSpec | undefined,
  { definition }: IncomingVm,
): number | undefined {
  const ofPolicy = parseBitRate(definition.spec.migrationPolicy?.bandwidth ?? '');
  const bits = spec?.bandwidthBitsPerSecond ?? ofPolicy;
  return bits === undefined ? undefined : Math.max(1, Math.floor(bits / 8));
}
