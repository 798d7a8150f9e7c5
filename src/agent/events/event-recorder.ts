import type { Logger } from '../../core/logger.ts';
import type { Migration } from '../migration/migration.ts';
import type { MigrationBook } from '../migration/migration-book.ts';
import { type MigrationStore, tellMigration } from '../migration/migration-store.ts';
import type { OperationRecord } from '../operations/operation.ts';
import type { OperationBook } from '../operations/operation-book.ts';
import { type OperationStore, tellOperation } from '../operations/operation-store.ts';
import type { Look } from '../reconcile/controller.ts';
import type { Origins } from '../reports/report.ts';
import type { RunBook } from '../runs/run-book.ts';
import type { Ownership } from '../vms/ownership.ts';
import { EventBook, type Mark } from './event-book.ts';
import type { EventStore } from './event-store.ts';
import { migrationNotes, tellableOf } from './migration-notes.ts';
import { creationOf, hasCreated, operationNotes, type Told, tellable } from './operation-notes.ts';
import { RecentRequests } from './recent-requests.ts';
import type { SightStore } from './sight-store.ts';
import { VmObserver } from './vm-observer.ts';
import type { SeenCondition } from './vm-sight.ts';

export interface EventRecorderOptions {
  readonly stores: {
    readonly events: EventStore;
    readonly sights: SightStore;
    readonly operations: OperationStore;
    readonly migrations: MigrationStore;
  };
  readonly operations: Pick<OperationBook, 'openOf' | 'givenUpCreations'>;
  readonly migrations: Pick<MigrationBook, 'list' | 'outgoingOf' | 'get' | 'onBegun' | 'onEnded'>;
  readonly ownership: Pick<Ownership, 'find'>;
  readonly runs: Pick<RunBook, 'rebootsOf' | 'watchdogOf'>;
  readonly origins: Origins;
  readonly gatherMs?: number | undefined;
  readonly log: Logger;
}

/** Has what happens to VMs become events: what was asked for, what migrations come to, and what looks show. */
export class EventRecorder {
  readonly book: EventBook;
  readonly #requests: RecentRequests;
  readonly #observer: VmObserver;
  /** How much is told of what goes on, by the id of the operation or migration. */
  readonly #told = new Map<string, Told>();

  private constructor(book: EventBook, requests: RecentRequests, observer: VmObserver) {
    this.book = book;
    this.#requests = requests;
    this.#observer = observer;
  }

  /** Takes up what an earlier agent could not tell any more. */
  static async load(options: EventRecorderOptions): Promise<EventRecorder> {
    const { stores, operations, migrations, origins, gatherMs, log } = options;
    const book = await EventBook.load({ store: stores.events, origins, gatherMs, log });
    const requests = await RecentRequests.load(operations, stores.operations);
    const observer = await VmObserver.load({ ...options, book, requests }, stores.sights);
    const recorder = new EventRecorder(book, requests, observer);
    for (const { record, told } of await stores.operations.listUntold()) {
      recorder.#told.set(record.id, told);
      recorder.noteOperation(record);
    }
    for (const { id, told } of await stores.migrations.listUntold()) {
      recorder.#told.set(`migration/${id}`, told);
      recorder.noteMigration(migrations.get(id));
    }
    migrations.onBegun((migration) => recorder.noteMigration(migration));
    migrations.onEnded((migration) => recorder.noteMigration(migration));
    return recorder;
  }

  /** An operation has begun, got on or ended. Costs little. */
  noteOperation(record: OperationRecord): void {
    const { id, vm, kind, state, result } = record;
    this.#requests.note(record);
    const told = this.#told.get(id) ?? 0;
    const now = tellable(record);
    if (told >= now) return;
    const marks: Mark[] = [{ key: `operation/${id}`, statement: tellOperation(id, now) }];
    const notes = [...operationNotes(record, told)];
    if (hasCreated(record)) {
      const created = this.#observer.noteCreated(vm, record.endedAtMs ?? record.requestedAtMs);
      if (created !== undefined) {
        marks.push(created);
        notes.push(creationOf(record));
      }
    }
    if (kind === 'delete' && state === 'succeeded' && result === 'DELETED') {
      marks.push(this.#observer.noteDeleted(vm.uid));
    }
    this.book.note(notes, marks);
    this.#setTold(id, now);
  }

  /** A migration has begun, got on or ended. */
  noteMigration(migration: Migration): void {
    const { id } = migration;
    const told = this.#told.get(`migration/${id}`) ?? 0;
    const now = tellableOf(migration);
    if (told >= now) return;
    const mark = { key: `migration/${id}`, statement: tellMigration(id, now) };
    this.book.note(migrationNotes(migration, told), [mark]);
    this.#setTold(`migration/${id}`, now);
  }

  /** The conditions of a VM as they were last seen, by whichever agent. Costs nothing. */
  conditionsOf(vmUid: string): readonly SeenCondition[] {
    return this.#observer.conditionsOf(vmUid);
  }

  /** Looks on for as long as there are looks. Give it to the task group, beside the book's own task. */
  async follow(looks: AsyncIterable<Look>): Promise<void> {
    for await (const look of looks) this.#observer.observe(look);
  }

  #setTold(key: string, told: Told): void {
    if (told === 2) this.#told.delete(key);
    else this.#told.set(key, told);
  }
}
