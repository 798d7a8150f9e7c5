import { AgentError } from '../../core/errors.ts';
import { auditLog } from '../../core/logger.ts';
import { Slots } from '../../core/slots.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import type { FreezeBook } from '../guests/freeze-book.ts';
import type { OperationManager } from '../operations/operation-manager.ts';
import { pageOf } from '../reports/paging.ts';
import type { Origins, Page, PageRequest, WatchCursor, WatchEvent } from '../reports/report.ts';
import type { ShutdownMark } from '../shutdown/shutdown-mark.ts';
import { lockVm } from '../vms/busy.ts';
import { nameOfRef, naming } from '../vms/deed-words.ts';
import type { VmService } from '../vms/vm.ts';
import { assertUnblocked } from './blockers.ts';
import type {
  Migration,
  MigrationFilter,
  MigrationPlan,
  MigrationService,
  MigrationSpec,
  SettleRequest,
  StartRequest,
} from './migration.ts';
import { isListedAfter, orderKey } from './migration-book.ts';
import { assertSameWish, type MigrationRecord } from './migration-record.ts';
import { notWaiting } from './off-word.ts';
import type { OutgoingOptions, Way } from './outgoing-context.ts';
import { OutgoingMigration } from './outgoing-migration.ts';
import { preflight } from './preflight.ts';

export interface MigrationManagerOptions extends Omit<OutgoingOptions, 'turns' | 'findWay'> {
  readonly agentVersion: string;
  readonly vms: Pick<VmService, 'get'>;
  readonly nodeShutdown: Pick<ShutdownMark, 'isGoingDown'>;
  readonly freezes: Pick<FreezeBook, 'find'>;
  readonly tasks: TaskGroup;
  readonly origins: Pick<Origins, 'current'>;
  readonly operations: Pick<OperationManager, 'record' | 'assertMayBegin'>;
  /** Settles one that has brought, or was to bring, a VM here; see `IncomingManager`. */
  readonly settleIncoming: (
    record: MigrationRecord,
    saidBy: string,
    signal: AbortSignal,
  ) => Promise<void>;
}

const UNKNOWN_CALLER = 'unknown';
/** Each keeps one of libvirtd's threads to its end, of which there are 20 unless configured otherwise (max_workers); the rest answer everybody else. */
const SENT_AT_ONCE = 12;

/** Moves VMs away from this node, and tells about all its migrations. */
export class MigrationManager implements MigrationService {
  readonly #options: MigrationManagerOptions & OutgoingOptions;
  readonly #running = new Map<string, OutgoingMigration>();
  /** Those that are asked for and not in the book yet. */
  readonly #starting = new Map<string, Promise<unknown>>();

  constructor(options: MigrationManagerOptions) {
    const findWay: OutgoingOptions['findWay'] = this.#findWay.bind(this);
    this.#options = { ...options, turns: new Slots(SENT_AT_ONCE), findWay };
    options.book.onEnded(({ id }) => this.#running.delete(id));
  }

  /** Takes up what an earlier agent left. Call once, before anything else may change a VM. */
  resumeAll(): void {
    const { tasks } = this.#options;
    const left = this.#options.book.listActive('source').map((record) => {
      const lock = this.#lock(record.vmUid, record.id);
      return {
        record,
        migration: new OutgoingMigration(record, { lock, way: undefined }, this.#options),
      };
    });
    // Once all are there, since those that have had their turn count before any other takes one.
    for (const { record, migration } of left) {
      this.#run(migration);
      // It may have been killed before it could.
      tasks.run('operation', () => this.#recordOperation(record, UNKNOWN_CALLER));
    }
  }

  plan(spec: MigrationSpec, signal: AbortSignal): Promise<MigrationPlan> {
    return naming(`migrate ${nameOfRef(spec.vm)}`, this.#plan(spec, signal));
  }

  async #plan(spec: MigrationSpec, signal: AbortSignal): Promise<MigrationPlan> {
    const vm = await this.#options.vms.get(spec.vm, signal);
    const report = await preflight(vm, spec, this.#options, signal);
    const { blockers, images, memoryBytes } = report;
    return { blockers, images, transport: 'stream', memoryBytes };
  }

  async start(request: StartRequest, signal: AbortSignal): Promise<Migration> {
    const { id } = request;
    const start = this.#start(request, signal);
    this.#starting.set(id, start);
    try {
      return await naming(`migrate ${nameOfRef(request.spec.vm)}`, start);
    } finally {
      if (this.#starting.get(id) === start) this.#starting.delete(id);
    }
  }

  async #start(request: StartRequest, signal: AbortSignal): Promise<Migration> {
    const { id, spec, labels } = request;
    const { book, locks, operations } = this.#options;
    const known = await book.find(id);
    if (known !== undefined) {
      assertSameWish(known, spec);
      return book.get(id);
    }
    const vm = await this.#options.vms.get(spec.vm, signal);
    // Locked before it is looked at, so that what is sent is what it is: nobody changes it in between.
    await operations.assertMayBegin(id, 'migrate', vm.definition);
    using undo = new DisposableStack();
    const lock = undo.use(
      await lockVm(locks, vm.definition, { verb: 'migrate', purpose: `migration ${id}` }, signal),
    );
    const { blockers, images, way } = await preflight(vm, spec, this.#options, signal);
    assertUnblocked(blockers, vm.definition.name);
    if (way === undefined) throw new Error('A peer that is missing must be a blocker');
    // The other node may have taken its time to answer.
    await operations.assertMayBegin(id, 'migrate', vm.definition);

    // Past this line the migration is in the journal, and the caller going away no longer matters.
    const begun = await book.begin(
      OutgoingMigration.newRecord(id, way.incoming.definition, spec, labels),
    );
    if (!begun.created) {
      assertSameWish(begun.record, spec);
      return book.get(id);
    }
    const trusted = images.filter(({ verdict }) => verdict === 'trusted');
    if (trusted.length > 0) {
      const { requestedBy } = request;
      const paths = trusted.map(({ path }) => path);
      const about = { migrationId: id, vmId: begun.record.vmUid, requestedBy, paths };
      auditLog(this.#options.log).warn(
        about,
        'Images taken to be shared by the word of the caller',
      );
    }
    undo.move();
    const handOver = { lock, way };
    this.#run(new OutgoingMigration(begun.record, handOver, this.#options));
    this.#options.onChange();
    await this.#recordOperation(begun.record, request.requestedBy);
    return book.get(id);
  }

  /** For people and for what comes after: the migration itself does not need it. */
  async #recordOperation(record: MigrationRecord, requestedBy: string): Promise<void> {
    const { operations, log } = this.#options;
    const { id, vmUid: uid, vmNamespace: namespace, vmName: name, peerNode } = record;
    const vm = { namespace, name, uid };
    const parameters = { destinationNode: peerNode };
    try {
      await operations.record({ id, kind: 'migrate', vm, parameters, requestedBy });
    } catch (error) {
      log.warn({ migrationId: id, err: error }, 'Cannot record the operation of a migration');
    }
  }

  async get(id: string): Promise<Migration> {
    return this.#options.book.get(id);
  }

  async list(filter: MigrationFilter, page: PageRequest): Promise<Page<Migration>> {
    const { book, origins } = this.#options;
    return pageOf(book.list(filter), page, {
      keyOf: orderKey,
      isAfter: isListedAfter,
      filter,
      origin: origins.current(),
    });
  }

  async *watch(
    filter: MigrationFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Migration>, void, undefined> {
    const { book } = this.#options;
    // A watch of one that is not there would wait for ever.
    if (filter.id !== undefined) book.get(filter.id);
    yield* book.watch(filter, cursor, signal);
  }

  async cancel(id: string): Promise<Migration> {
    const { book } = this.#options;
    // One that overtakes the start waits for it.
    await this.#starting.get(id)?.catch(() => undefined);
    const { role, sourceNode } = book.get(id);
    if (role === 'destination') {
      throw new AgentError(
        'INVALID_REQUEST',
        `Cannot cancel migration ${id} here: ask node ${sourceNode}, where the VM comes from`,
        { metadata: { migrationId: id } },
      );
    }
    const migration = await book.requestCancel(id);
    switch (migration.phase) {
      case 'preparing':
      case 'copying':
        this.#running.get(id)?.cancel();
        return migration;
      case 'cancelled':
      case 'failed':
        return migration;
      case 'completed':
        throw new AgentError(
          'MIGRATION_PAST_SWITCHOVER',
          `Cannot cancel migration ${id}: it has completed, and the VM is on node ${migration.destinationNode}; migrate it back instead`,
          { metadata: { migrationId: id, phase: migration.phase } },
        );
      default:
        throw new AgentError(
          'MIGRATION_PAST_SWITCHOVER',
          `Cannot cancel migration ${id}: it is ${migration.phase}, and the VM may run on node ${migration.destinationNode} already; ${migration.message || 'migrate it back instead'}`,
          { metadata: { migrationId: id, phase: migration.phase } },
        );
    }
  }

  /**
   * By the caller's word that the other node is off for good: what is here is the VM, and it may run. Fails with
   * MIGRATION_NOT_WAITING unless the migration waits for that node.
   */
  async settle({ id, offNode, saidBy }: SettleRequest, signal: AbortSignal): Promise<Migration> {
    const { book, settleIncoming } = this.#options;
    const { role, sourceNode, destinationNode, phase } = book.get(id);
    const other = role === 'source' ? destinationNode : sourceNode;
    if (offNode !== other) {
      const description = `must be ${other}, the other node of the migration, and only if it is off for good`;
      throw new AgentError(
        'INVALID_REQUEST',
        `Cannot settle migration ${id}: the node that is off ${description}`,
        { metadata: { migrationId: id }, violations: [{ field: 'offNode', description }] },
      );
    }
    const record = await book.find(id);
    if (record === undefined) return book.get(id);
    if (role === 'destination') await settleIncoming(record, saidBy, signal);
    // Once it was said, it is done.
    else if (record.otherNodeOff === undefined) {
      const running = this.#running.get(id);
      if (running === undefined) throw notWaiting(id, `it has ended (${phase})`);
      await running.settle(saidBy, signal);
    }
    return book.get(id);
  }

  /** Of a migration that was asked for when another agent was here, and has not begun. Fails as a start would. */
  async #findWay(record: MigrationRecord, signal: AbortSignal): Promise<Way> {
    const { spec, vmUid, vmName, ownershipEpoch } = record;
    if (spec === undefined) throw new Error('A source has recorded what was asked for');
    const vm = await this.#options.vms.get({ ...spec.vm, uid: vmUid }, signal);
    const { blockers, way } = await preflight(vm, spec, this.#options, signal);
    assertUnblocked(blockers, vmName);
    if (way === undefined) throw new Error('A peer that is missing must be a blocker');
    // What a word has made of it may have been borne out since; both nodes must go by the epoch that was recorded.
    const definition = { ...way.incoming.definition, ownershipEpoch: ownershipEpoch - 1 };
    return { ...way, incoming: { ...way.incoming, definition } };
  }

  #run(migration: OutgoingMigration): void {
    this.#running.set(migration.id, migration);
    this.#options.tasks.run('migration', migration.carryThrough.bind(migration));
  }

  #lock(vmUid: string, id: string): Disposable {
    const lock = this.#options.locks.tryAcquire(vmUid, `migration ${id}`);
    if (lock === undefined) throw new Error('Migrations must be taken up before anything else');
    return lock;
  }
}
