import type { AgentParts } from './agent-parts.ts';
import { FreezeBook } from './guests/freeze-book.ts';
import { MigrationBook } from './migration/migration-book.ts';
import { Cordon } from './node/cordon.ts';
import { ReservationBook } from './node/reservation-book.ts';
import type { Origins } from './reports/report.ts';
import { ShutdownMark } from './shutdown/shutdown-mark.ts';
import { Identification } from './vms/identification.ts';
import { Ownership } from './vms/ownership.ts';

/** What an earlier agent has left in the journal, read by those whose it is, and which nothing else is needed for. */
export async function loadRemembered(
  { stores, host, bootClock, log }: AgentParts,
  origins: Origins,
) {
  const ownership = await Ownership.load(stores.ownership);
  const boot = { bootId: host.bootId, clock: bootClock };
  return {
    ownership,
    identification: await Identification.load(stores.identification, { ownership, log }),
    book: await MigrationBook.load(stores.migrations, origins),
    reservations: await ReservationBook.load(stores.reservations, log),
    cordon: await Cordon.load(stores.nodeSpec),
    nodeShutdown: await ShutdownMark.load({ store: stores.shutdown, ...boot }),
    freezes: await FreezeBook.load({ store: stores.freezes, ...boot }),
  };
}
