import { EventBook } from '../../src/agent/events/event-book.ts';
import { EventManager } from '../../src/agent/events/event-manager.ts';
import { EventStore } from '../../src/agent/events/event-store.ts';
import type { Origins } from '../../src/agent/reports/report.ts';
import { createLogger } from '../../src/core/logger.ts';
import { MemoryJournal } from './memory-journal.ts';

/** Events in memory, and the book that they are noted in; nothing notes any by itself. */
export async function memoryEvents(
  origins: Origins,
): Promise<{ readonly events: EventManager; readonly book: EventBook }> {
  const store = new EventStore(new MemoryJournal().database);
  const book = await EventBook.load({ store, origins, log: createLogger('silent') });
  return { events: new EventManager({ store, book, origins }), book };
}
