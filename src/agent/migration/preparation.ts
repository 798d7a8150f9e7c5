import { AgentError } from '../../core/errors.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import type { TransferStatus } from '../../drivers/transfers.ts';
import { nameKey } from '../vms/name-key.ts';
import type { VmDiskKeys } from '../vms/vm-disk-keys.ts';
import type { VmSeeds } from '../vms/vm-seeds.ts';
import { type Arrivals, type ArrivalsOptions, isAlive } from './arrivals.ts';
import {
  checkIncoming,
  holdingFor,
  type IncomingCheckOptions,
  nameBlockers,
  noIncomingSocket,
} from './incoming-check.ts';
import type { IncomingBlocker, IncomingVm } from './migration.ts';
import { type MigrationRecord, newRecord } from './migration-record.ts';
import { LIBVIRT_SERVICE, MEMORY_SERVICE, nodeIdentity } from './protocol.ts';
import { isFinal } from './states.ts';

export interface PreparationOptions extends IncomingCheckOptions, ArrivalsOptions {
  readonly hypervisor: Pick<Hypervisor, 'host' | 'domains' | 'jobs'>;
  readonly nodeName: string;
  readonly seeds: Pick<VmSeeds, 'write'>;
  readonly diskKeys: Pick<VmDiskKeys, 'ensure'>;
  /** The host that others connect transfers to. */
  readonly transferHost: string;
  /** libvirt's own socket, which the source's libvirt is led to. */
}

export interface PrepareRequest {
  readonly migrationId: string;
  readonly incoming: IncomingVm;
  readonly transferToken: string;
}

const UNDO_TIMEOUT_MS = 10_000;

/** Sets aside what a VM needs to come to this node, and opens the way for it. */
export class Preparation {
  readonly #options: PreparationOptions;
  readonly #arrivals: Arrivals;

  constructor(options: PreparationOptions, arrivals: Arrivals) {
    this.#options = options;
    this.#arrivals = arrivals;
  }

  /** Prepares for a VM that nothing is known of. Fails as `checkIncoming` says, with VM_BUSY, STORAGE_FULL or STREAM_FAILED. */
  async prepare(
    request: PrepareRequest,
    caller: string,
    signal: AbortSignal,
  ): Promise<{ readonly host: string; readonly port: number }> {
    const { record, lock } = await this.#begin(request, caller, signal);
    try {
      // Before there is a way for the VM to come.
      await this.#putFiles(request.incoming, signal);
      const transfer = await this.#startTransfer(record, signal);
      signal.throwIfAborted();
      return { host: this.#options.transferHost, port: transfer.listenPort };
    } catch (error) {
      await this.#cutOff(record);
      throw error;
    } finally {
      // What has begun is followed to its end, also when that is a failed start.
      this.#arrivals.follow(record, lock);
    }
  }

  /** Answers a repeated request. Fails with MIGRATION_ALREADY_EXISTS if it is another one, or the VM can no longer come. */
  async answerAgain(
    record: MigrationRecord,
    request: PrepareRequest,
    signal: AbortSignal,
  ): Promise<{ readonly host: string; readonly port: number }> {
    const transfer = await this.#options.transfers.find(record.id, signal);
    const isSame =
      record.vmUid === request.incoming.definition.uid &&
      record.transferToken === request.transferToken;
    if (!isSame || isFinal(record.phase) || transfer === undefined || !isAlive(transfer)) {
      throw this.#endedAlready(record);
    }
    return { host: this.#options.transferHost, port: transfer.listenPort };
  }

  /** Sets aside for a VM what it needs here, and records it. */
  async #begin(
    request: PrepareRequest,
    caller: string,
    signal: AbortSignal,
  ): Promise<{ readonly record: MigrationRecord; readonly lock: Disposable }> {
    const { book, locks, capacity, cordon, nodeShutdown, nodeName } = this.#options;
    const { migrationId, incoming } = request;
    const { definition, memoryBytes, vcpus } = incoming;
    const running = { memoryBytes, vcpus };
    assertNone(await checkIncoming(incoming, this.#options, signal));
    await locks.untilNotByItself(definition.uid, signal);
    // Nothing waits until the VM is locked and has its room, so nobody can come in between. The journal says which of
    // two requests with one id was the first. What may have changed while the rest was checked is asked again.
    assertNone(nameBlockers(definition, this.#options));
    nodeShutdown.assertNotGoingDown(`Cannot take VM ${definition.name}`);
    cordon.assertNotCordoned(`VM ${definition.name}`);
    using undo = new DisposableStack();
    const lock = locks.tryAcquire(definition.uid, `migration ${migrationId}`);
    const namesake = capacity.findHolding(definition.namespace, definition.name);
    if (lock !== undefined) undo.use(lock);
    // From here on the room that is held keeps the name; until then it may be locked for a VM that is being created.
    const isBeingCreated = locks.purposeOf(nameKey(definition)) !== undefined;
    if (lock === undefined || namesake !== undefined || isBeingCreated) {
      throw new AgentError('VM_BUSY', `VM ${definition.name} is busy on node ${nodeName}`);
    }
    capacity.hold(holdingFor(definition, running));
    undo.defer(() => capacity.release(definition.uid));
    const { record, created } = await book.begin(
      newRecord({
        id: migrationId,
        role: 'destination',
        vmUid: definition.uid,
        vmNamespace: definition.namespace,
        vmName: definition.name,
        spec: undefined,
        labels: {},
        peerNode: caller,
        peerAddress: undefined,
        transferToken: request.transferToken,
        ownershipEpoch: definition.ownershipEpoch + 1,
        definition,
        running,
      }),
    );
    if (!created) throw this.#endedAlready(record);
    undo.move();
    return { record, lock };
  }

  async #putFiles(
    { definition, privateFiles, requiredFeatures }: IncomingVm,
    signal: AbortSignal,
  ): Promise<void> {
    for (const [name, content] of Object.entries(privateFiles)) {
      await this.#options.privateFiles.put(definition.uid, name, content, signal);
    }
    await this.#options.diskKeys.ensure(definition, signal);
    const isNeeded = requiredFeatures.includes('cloud-init');
    await this.#options.seeds.write(definition, { isNeeded }, signal);
  }

  async #cutOff(record: MigrationRecord): Promise<void> {
    try {
      // The caller's signal may be the reason for it.
      await this.#options.transfers.remove(record.id, AbortSignal.timeout(UNDO_TIMEOUT_MS));
      await this.#arrivals.end(record, {
        phase: 'failed',
        reason: 'MIGRATION_FAILED',
        message: 'It could not be prepared',
      });
    } catch (error) {
      this.#options.log.warn(
        { migrationId: record.id, err: error },
        'Could not undo a preparation',
      );
    }
  }

  async #startTransfer(record: MigrationRecord, signal: AbortSignal): Promise<TransferStatus> {
    const { hypervisor, transfers } = this.#options;
    const { processOwner, incomingSocket } = await hypervisor.host.getInfo(signal);
    if (incomingSocket.problem !== undefined) {
      throw new AgentError('FEATURE_NOT_SUPPORTED', noIncomingSocket(incomingSocket.problem));
    }
    return transfers.start(
      {
        id: record.id,
        role: 'destination',
        peerName: nodeIdentity(record.peerNode),
        token: record.transferToken,
        connect: undefined,
        bandwidthBytesPerSecond: 0,
        services: [
          { name: LIBVIRT_SERVICE, path: incomingSocket.path, priority: 'interactive' },
          // QEMU listens here: libvirt makes it use the path that the source connects to over there.
          {
            name: MEMORY_SERVICE,
            path: transfers.socketPath(record.id, MEMORY_SERVICE),
            priority: 'bulk',
            owner: processOwner,
          },
        ],
      },
      signal,
    );
  }

  #endedAlready(record: MigrationRecord): AgentError {
    return new AgentError(
      'MIGRATION_ALREADY_EXISTS',
      `Migration ${record.id} has ended on node ${this.#options.nodeName}, or is about to; start another one`,
      { metadata: { migrationId: record.id } },
    );
  }
}

function assertNone(blockers: readonly IncomingBlocker[]): void {
  const [first] = blockers;
  if (first === undefined) return;
  throw new AgentError(first.reason, blockers.map(({ message }) => message).join('; '));
}
