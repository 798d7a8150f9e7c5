import { lastKey, pageToken } from '../reports/paging.ts';
import type { Origins, Page, PageRequest, WatchCursor, WatchEvent } from '../reports/report.ts';
import type { EventFilter, EventRecord, EventService, ReportedEvent } from './event.ts';
import type { EventBook } from './event-book.ts';
import type { EventStore } from './event-store.ts';

export interface EventManagerOptions {
  readonly store: Pick<EventStore, 'list'>;
  readonly book: Pick<EventBook, 'watch'>;
  readonly origins: Origins;
}

/** More would be a page by itself. */
const WHOLE_LIST = 10_000;

/** Tells what has happened to the VMs of this node. */
export class EventManager implements EventService {
  readonly #options: EventManagerOptions;

  constructor(options: EventManagerOptions) {
    this.#options = options;
  }

  async list(
    filter: EventFilter & { readonly sinceMs: number | undefined },
    page: PageRequest,
  ): Promise<Page<ReportedEvent>> {
    const { store, origins } = this.#options;
    // What happens while the journal is read is told to whoever watches from here on.
    const origin = origins.current();
    const last = lastKey(page.token, filter);
    const after = last === undefined ? undefined : Number(last);
    const limit = page.size === 0 ? WHOLE_LIST : page.size;
    const { records, next } = await store.list(filter, { after, limit });
    const nextToken = next === undefined ? '' : pageToken(String(next), filter);
    return { items: records.map((record) => ({ ...record, origin })), nextToken, origin };
  }

  watch(
    filter: EventFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<ReportedEvent>> {
    return this.#options.book.watch((event) => matches(event, filter), cursor, signal);
  }
}

function matches({ vm, type }: EventRecord, filter: EventFilter): boolean {
  const { vmUid, vmName, namespace = vmName?.namespace } = filter;
  if (vmUid !== undefined && vm.uid !== vmUid) return false;
  if (namespace !== undefined && vm.namespace !== namespace) return false;
  if (vmName !== undefined && vm.name !== vmName.name) return false;
  return filter.type === undefined || type === filter.type;
}
