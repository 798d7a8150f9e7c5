import type { Message } from './recorded-api.ts';
import { RecordedCalls } from './recorded-calls.ts';

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

  /** Phases by VM whenever they are known and after every change: what RESET begins counts from SYNCED on. */
  async *phases(labelSelector: string): AsyncGenerator<Readonly<Record<string, string>>> {
    const request = { labelSelector };
    const phases = new Map<string, string>();
    let isSynced = false;
    for await (const event of this.#calls.stream(
      'VirtualMachineService/WatchVirtualMachines',
      request,
    )) {
      const { type, virtualMachine: vm } = event;
      switch (type) {
        case 'WATCH_EVENT_TYPE_RESET':
          phases.clear();
          isSynced = false;
          break;
        case 'WATCH_EVENT_TYPE_SYNCED':
          isSynced = true;
          break;
        case 'WATCH_EVENT_TYPE_DELETED':
          phases.delete(vm.metadata.name);
          break;
        default:
          phases.set(vm.metadata.name, vm.status.phase);
      }
      if (isSynced) yield Object.fromEntries(phases);
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
