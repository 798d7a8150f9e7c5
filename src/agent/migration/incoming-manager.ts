import { delay } from '../../core/delay.ts';
import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import type { HypervisorVm } from '../../drivers/hypervisor.ts';
import type { TransferDriver, TransferStatus } from '../../drivers/transfers.ts';
import type { MigrationRecord } from '../journal/migration-store.ts';
import { checkIncoming, type IncomingCheckOptions, reservationOf } from './incoming-check.ts';
import type {
  IncomingBlocker,
  IncomingReport,
  IncomingService,
  IncomingVm,
  PeerHandshake,
} from './migration.ts';
import { type MigrationBook, newRecord } from './migration-book.ts';
import { advance } from './progress.ts';
import {
  LIBVIRT_SERVICE,
  MEMORY_SERVICE,
  nodeIdentity,
  PEER_PROTOCOL_MAX,
  PEER_PROTOCOL_MIN,
} from './protocol.ts';
import { isFinal } from './states.ts';

export interface IncomingManagerOptions extends IncomingCheckOptions {
  readonly nodeName: string;
  readonly agentVersion: string;
  /** The host that others connect transfers to. */
  readonly transferHost: string;
  /** libvirt's own socket, which the source's libvirt is led to. */
  readonly libvirtSocket: string;
  readonly transfers: TransferDriver;
  readonly book: MigrationBook;
  readonly locks: KeyLocks;
  readonly tasks: TaskGroup;
  /** Called when VMs of this node have changed. */
  readonly onChange: () => void;
  readonly log: Logger;
}

const POLL_MS = 250;
const CALL_TIMEOUT_MS = 10_000;
/** How long libvirt may take to drop a VM whose source has gone, before it is dropped for it. */
const DROP_TIMEOUT_MS = 10_000;
/** How long a transfer is kept for the source's last words after the VM has arrived. */
const LAST_WORDS_MS = 30_000;

type Arrival = 'absent' | 'receiving' | 'arrived';

/** Lets VMs come to this node, and tells their sources the truth about them. */
export class IncomingManager implements IncomingService {
  readonly #options: IncomingManagerOptions;

  constructor(options: IncomingManagerOptions) {
    this.#options = options;
  }

  /** Takes up what an earlier agent left. Call once, before anything else may change a VM. */
  resumeAll(): void {
    for (const record of this.#options.book.listActive('destination')) {
      const lock = this.#options.locks.tryAcquire(record.vmUid, `migration ${record.id}`);
      if (lock === undefined) throw new Error('Migrations must be taken up before anything else');
      this.#follow(record, lock);
    }
  }

  async handshake(
    request: {
      readonly protocolMin: number;
      readonly protocolMax: number;
      readonly agentVersion: string;
    },
    signal: AbortSignal,
  ): Promise<PeerHandshake> {
    const protocol = Math.min(PEER_PROTOCOL_MAX, request.protocolMax);
    if (protocol < Math.max(PEER_PROTOCOL_MIN, request.protocolMin)) {
      throw new AgentError(
        'PEER_INCOMPATIBLE',
        `Cannot work with agent ${request.agentVersion}: it speaks versions ${request.protocolMin} to ${request.protocolMax} of the peer protocol, this one (${this.#options.agentVersion}) ${PEER_PROTOCOL_MIN} to ${PEER_PROTOCOL_MAX}; upgrade the older of the two`,
      );
    }
    const { hostUuid } = await this.#options.hypervisor.getInfo(signal);
    return {
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

  async prepare(
    request: {
      readonly migrationId: string;
      readonly incoming: IncomingVm;
      readonly transferToken: string;
    },
    caller: string,
    signal: AbortSignal,
  ): Promise<{ readonly host: string; readonly port: number }> {
    const { transfers, book, locks, capacity, listVms } = this.#options;
    const { migrationId, incoming } = request;
    const known = book.find(migrationId);
    if (known !== undefined) return this.#answerAgain(known, caller, signal);
    const blockers = await this.check(incoming, caller, signal);
    const [first] = blockers;
    if (first !== undefined) {
      throw new AgentError(first.reason, blockers.map((blocker) => blocker.message).join('; '));
    }
    const { definition } = incoming;
    const lock = locks.tryAcquire(definition.uid, `migration ${migrationId}`);
    if (lock === undefined) {
      throw new AgentError(
        'VM_BUSY',
        `VM ${definition.name} is busy on node ${this.#options.nodeName}`,
      );
    }
    await using undo = new AsyncDisposableStack();
    undo.defer(() => lock[Symbol.dispose]());
    capacity.reserve(reservationOf(definition), listVms());
    undo.defer(() => capacity.release(definition.uid));
    const record = newRecord({
      id: migrationId,
      role: 'destination',
      vmUid: definition.uid,
      vmNamespace: definition.namespace,
      vmName: definition.name,
      spec: undefined,
      peerNode: caller,
      peerAddress: undefined,
      transferToken: request.transferToken,
      ownershipEpoch: definition.ownershipEpoch + 1,
      definition,
    });
    book.begin(record);
    undo.defer(async () => this.#end(record, 'Preparing failed'));
    const transfer = await this.#startTransfer(record, signal);
    undo.defer(() => transfers.remove(migrationId, AbortSignal.timeout(CALL_TIMEOUT_MS)));
    signal.throwIfAborted();
    undo.move();
    this.#follow(record, lock);
    return { host: this.#options.transferHost, port: transfer.listenPort };
  }

  async get(
    migrationId: string,
    vmUid: string,
    caller: string,
    signal: AbortSignal,
  ): Promise<IncomingReport> {
    const record = this.#recordOf(migrationId, caller);
    let vm: HypervisorVm | undefined;
    try {
      vm = await this.#options.hypervisor.find(vmUid, this.#brief(signal));
    } catch (error) {
      signal.throwIfAborted();
      this.#options.log.debug({ migrationId, err: error }, 'Cannot look at an incoming VM');
      return { state: 'unknown', ownershipEpoch: 0, downtimeMs: 0 };
    }
    const ownershipEpoch = vm?.definition?.ownershipEpoch ?? 0;
    // It arrived, whatever has become of it since.
    const settled = record?.phase === 'completed' || record?.phase === 'cleaning-up';
    if (settled || arrivalOf(vm, record) === 'arrived') {
      return { state: 'arrived', ownershipEpoch, downtimeMs: await this.#downtime(vmUid, signal) };
    }
    if (vm !== undefined) return { state: 'receiving', ownershipEpoch, downtimeMs: 0 };
    const prepared = record !== undefined && !isFinal(record.phase);
    return { state: prepared ? 'prepared' : 'absent', ownershipEpoch: 0, downtimeMs: 0 };
  }

  async release(
    migrationId: string,
    vmUid: string,
    outcome: 'commit' | 'abort',
    caller: string,
    signal: AbortSignal,
  ): Promise<{ readonly wireBytes: number }> {
    const { transfers, book } = this.#options;
    const record = this.#recordOf(migrationId, caller);
    const transfer = await transfers.find(migrationId, signal);
    const wireBytes = (transfer?.wireBytesReceived ?? 0) + (transfer?.wireBytesSent ?? 0);
    if (outcome === 'abort') {
      await this.#abort(migrationId, vmUid, caller, record, signal);
      return { wireBytes };
    }
    if (record !== undefined && !isFinal(record.phase)) {
      const vm = await this.#options.hypervisor.find(vmUid, signal);
      if (arrivalOf(vm, record) !== 'arrived') {
        throw new AgentError('VM_NOT_FOUND', `VM ${record.vmName} has not arrived yet`, {
          retryAfterMs: POLL_MS,
        });
      }
      this.#noteArrival(record);
    }
    if (book.find(migrationId)?.phase === 'completed') await transfers.remove(migrationId, signal);
    return { wireBytes };
  }

  /** Makes sure that the VM of this migration will never run here. Fails with MIGRATION_PAST_SWITCHOVER if it does. */
  async #abort(
    migrationId: string,
    vmUid: string,
    caller: string,
    record: MigrationRecord | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { transfers, book } = this.#options;
    if (record === undefined) {
      // Nothing was prepared. A record keeps a late request to prepare from being honoured.
      book.begin(tombstone(migrationId, vmUid, caller));
      book.move(migrationId, 'failed', { reason: 'MIGRATION_CANCELLED', message: 'Not wanted' });
      return;
    }
    if (record.phase === 'failed' || record.phase === 'cancelled') return;
    if (record.phase === 'completed') throw pastSwitchover(record);
    // With the transfer gone, the source's libvirt can say nothing more, and ours drops what it has received.
    await transfers.remove(migrationId, signal);
    await this.#awaitDropped(record, signal);
    this.#end(record, 'The source called it off');
  }

  async #awaitDropped(record: MigrationRecord, signal: AbortSignal): Promise<void> {
    const { hypervisor, log } = this.#options;
    const deadlineMs = Date.now() + DROP_TIMEOUT_MS;
    let dropped = false;
    for (;;) {
      const vm = await hypervisor.find(record.vmUid, this.#brief(signal));
      const arrival = arrivalOf(vm, record);
      if (arrival === 'absent') return;
      if (arrival === 'arrived') throw pastSwitchover(record);
      if (Date.now() > deadlineMs && !dropped) {
        log.warn(
          { migrationId: record.id },
          'libvirt keeps a VM whose source is gone; removing it',
        );
        await hypervisor.destroy(record.vmUid, this.#brief(signal));
        await hypervisor.undefine(record.vmUid, this.#brief(signal));
        dropped = true;
      }
      await delay(POLL_MS, signal);
    }
  }

  /** Watches an incoming VM until it has arrived or will not come. Takes over the VM's lock. */
  #follow(record: MigrationRecord, lock: Disposable): void {
    const { capacity, tasks, listVms, log } = this.#options;
    if (record.definition !== undefined) {
      try {
        capacity.reserve(reservationOf(record.definition), listVms());
      } catch (error) {
        // Promised by an earlier agent: it stays promised.
        log.warn({ migrationId: record.id, err: error }, 'An incoming VM exceeds the capacity');
      }
    }
    tasks.run('incoming migration', async (signal) => {
      using _lock = lock;
      try {
        while (!isFinal(this.#options.book.record(record.id).phase)) {
          await this.#lookOnce(record, signal).catch((error: unknown) => {
            signal.throwIfAborted();
            log.debug({ migrationId: record.id, err: error }, 'Cannot look at an incoming VM');
          });
          await delay(POLL_MS, signal);
        }
      } finally {
        capacity.release(record.vmUid);
      }
      await this.#awaitLastWords(record, signal);
    });
  }

  async #lookOnce(record: MigrationRecord, signal: AbortSignal): Promise<void> {
    const { hypervisor, transfers, book } = this.#options;
    const [vm, transfer] = await Promise.all([
      hypervisor.find(record.vmUid, this.#brief(signal)),
      transfers.find(record.id, signal),
    ]);
    const current = book.record(record.id);
    if (isFinal(current.phase)) return;
    book.setProgress(record.id, advance(book.progressOf(record.id), undefined, transfer));
    const arrival = arrivalOf(vm, record);
    if (arrival === 'arrived') this.#noteArrival(current);
    else if (arrival === 'receiving' && current.phase === 'preparing')
      book.move(record.id, 'copying');
    else if (arrival === 'absent' && !isAlive(transfer)) {
      this.#end(
        current,
        transfer?.failureMessage || 'The transfer ended before the VM had arrived',
      );
    }
  }

  #noteArrival(record: MigrationRecord): void {
    const { book, ownership, onChange, log } = this.#options;
    const { definition, ownershipEpoch } = record;
    if (definition !== undefined) ownership.own({ ...definition, ownershipEpoch });
    if (book.record(record.id).phase === 'preparing') book.move(record.id, 'copying');
    book.move(record.id, 'cleaning-up');
    book.move(record.id, 'completed');
    onChange();
    log.info({ migrationId: record.id, vmId: record.vmUid, peer: record.peerNode }, 'VM arrived');
  }

  #end(record: MigrationRecord, message: string): void {
    const { book, onChange, log } = this.#options;
    if (isFinal(book.record(record.id).phase)) return;
    book.move(record.id, 'failed', { reason: 'MIGRATION_FAILED', message });
    onChange();
    log.info({ migrationId: record.id, peer: record.peerNode, reason: message }, 'VM did not come');
  }

  /** The source's libvirt still has to hear that the VM runs here, so the transfer may not go at once. */
  async #awaitLastWords(record: MigrationRecord, signal: AbortSignal): Promise<void> {
    const { transfers, book } = this.#options;
    const arrived = book.record(record.id).phase === 'completed';
    const deadlineMs = Date.now() + (arrived ? LAST_WORDS_MS : 0);
    while (Date.now() < deadlineMs && isAlive(await transfers.find(record.id, signal))) {
      await delay(POLL_MS, signal);
    }
    await transfers.remove(record.id, signal);
  }

  async #answerAgain(
    record: MigrationRecord,
    caller: string,
    signal: AbortSignal,
  ): Promise<{ readonly host: string; readonly port: number }> {
    this.#recordOf(record.id, caller);
    const transfer = await this.#options.transfers.find(record.id, signal);
    if (isFinal(record.phase) || transfer === undefined || !isAlive(transfer)) {
      throw new AgentError(
        'MIGRATION_ALREADY_EXISTS',
        `Migration ${record.id} has ended on node ${this.#options.nodeName} (${record.phase}); start another one`,
      );
    }
    return { host: this.#options.transferHost, port: transfer.listenPort };
  }

  #startTransfer(record: MigrationRecord, signal: AbortSignal): Promise<TransferStatus> {
    const { transfers, libvirtSocket } = this.#options;
    return transfers.start(
      {
        id: record.id,
        role: 'destination',
        peerName: nodeIdentity(record.peerNode),
        token: record.transferToken,
        connect: undefined,
        bandwidthBytesPerSecond: 0,
        services: [
          { name: LIBVIRT_SERVICE, path: libvirtSocket, priority: 'interactive' },
          // QEMU listens here: libvirt makes it use the path that the source connects to over there.
          {
            name: MEMORY_SERVICE,
            path: transfers.socketPath(record.id, MEMORY_SERVICE),
            priority: 'bulk',
          },
        ],
      },
      signal,
    );
  }

  async #downtime(vmUid: string, signal: AbortSignal): Promise<number> {
    const job = await this.#options.hypervisor
      .getCompletedJob(vmUid, this.#brief(signal))
      .catch(() => undefined);
    return job?.operation === 'migration-in' ? job.downtimeMs : 0;
  }

  /** Only the node that a migration comes from may ask about it. */
  #recordOf(migrationId: string, caller: string): MigrationRecord | undefined {
    const record = this.#options.book.find(migrationId);
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

/** A VM has arrived once it is more than a receiver of memory, and carries the epoch of its new owner. */
function arrivalOf(vm: HypervisorVm | undefined, record: MigrationRecord | undefined): Arrival {
  if (vm === undefined) return 'absent';
  const epoch = vm.definition?.ownershipEpoch ?? 0;
  if (vm.state === 'incoming' || epoch < (record?.ownershipEpoch ?? 1)) return 'receiving';
  return 'arrived';
}

function isAlive(transfer: TransferStatus | undefined): boolean {
  return transfer !== undefined && !['finished', 'failed', 'lost'].includes(transfer.state);
}

function pastSwitchover(record: MigrationRecord): AgentError {
  return new AgentError(
    'MIGRATION_PAST_SWITCHOVER',
    `Cannot call off migration ${record.id}: VM ${record.vmName} has arrived`,
    { metadata: { migrationId: record.id } },
  );
}

function tombstone(id: string, vmUid: string, peerNode: string): MigrationRecord {
  return newRecord({
    id,
    role: 'destination',
    vmUid,
    vmNamespace: '',
    vmName: '',
    spec: undefined,
    peerNode,
    peerAddress: undefined,
    transferToken: '',
    ownershipEpoch: 0,
    definition: undefined,
  });
}
