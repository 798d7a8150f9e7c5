import type { Message } from './recorded-api.ts';
import { RecordedCalls } from './recorded-calls.ts';

/** The phase of each VM, by its name. */
export type Phases = Readonly<Record<string, string>>;

/** What a controller of version 1 does with an agent, and what it makes of the answers. */
export class RecordedClient implements Disposable {
  readonly #calls: RecordedCalls;

  constructor(socket: string) {
    this.#calls = RecordedCalls.local(socket);
  }

  call(method: string, request: Message = {}): Promise<Message> {
    return this.#calls.call(method, request);
  }

  /** The names of all VMs that match, page by page, and how many pages it took. */
  async list(labelSelector: string, pageSize: number) {
    const names: string[] = [];
    let pages = 0;
    let pageToken = '';
    do {
      const { virtualMachines, nextPageToken } = await this.call(
        'VirtualMachineService/ListVirtualMachines',
        { labelSelector, pageSize, pageToken },
      );
      names.push(...virtualMachines.map(({ metadata }: Message) => metadata.name));
      pages += 1;
      pageToken = nextPageToken;
    } while (pageToken !== '');
    return { names, pages };
  }

  /**
   * Phases by VM whenever they are known and after every change: what RESET begins counts from SYNCED on. Goes on from a
   * cursor, where nothing changed means that nothing comes.
   */
  async *phases(
    labelSelector: string,
    from?: { readonly cursor: Message; readonly phases: Phases },
  ): AsyncGenerator<{ readonly phases: Phases; readonly cursor: Message }> {
    const known = new Map(Object.entries(from?.phases ?? {}));
    let isComplete: boolean | undefined = from === undefined ? undefined : true;
    for await (const { type, virtualMachine: vm, origin } of this.#calls.stream(
      'VirtualMachineService/WatchVirtualMachines',
      { labelSelector, cursor: from?.cursor },
    )) {
      if (type === 'WATCH_EVENT_TYPE_RESET') {
        known.clear();
        isComplete = false;
      } else if (isComplete === undefined) throw new Error('A watch must begin with RESET');
      else if (type === 'WATCH_EVENT_TYPE_SYNCED') isComplete = true;
      else if (type === 'WATCH_EVENT_TYPE_DELETED') known.delete(vm.metadata.name);
      else known.set(vm.metadata.name, vm.status.phase);
      const { agentEpoch, revision } = origin;
      if (isComplete) {
        yield { phases: Object.fromEntries(known), cursor: { agentEpoch, revision } };
      }
    }
  }

  /** The phases of a migration from now on, until it has ended. */
  async *migrationPhases(id: string): AsyncGenerator<string> {
    for await (const { migration } of this.#calls.stream('MigrationService/WatchMigrations', {
      id,
    })) {
      if (migration === null) continue;
      yield migration.status.phase;
      if (migration.status.endTime !== null) return;
    }
  }

  [Symbol.dispose](): void {
    this.#calls[Symbol.dispose]();
  }
}
