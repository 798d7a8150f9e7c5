import type { JournalDatabase } from './journal-database.ts';

export interface AgentStart {
  /** Higher than that of every earlier start on this node. */
  readonly epoch: number;
  /** The boot id at the start before; undefined if none is known. Another one means that the node has rebooted. */
  readonly previousBootId: string | undefined;
}

/** Counts the agent's starts, so that its reports can be told from those of an earlier one. */
export class AgentEpoch {
  readonly #database: JournalDatabase;
  readonly #now: () => number;

  constructor(database: JournalDatabase, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** Call once per start; the epoch is on the disk when this returns. */
  nextEpoch(bootId: string): AgentStart {
    const nowMs = this.#now();
    return this.#database.transaction(() => {
      const last = this.#database.get(
        'SELECT epoch, boot_id FROM agent_start ORDER BY epoch DESC LIMIT 1',
      );
      // A new journal does not start at 1: the node may have had one before, and receivers refuse lower epochs.
      const epoch = last === undefined ? Math.floor(nowMs / 1000) : Number(last['epoch']) + 1;
      this.#database.run(
        'INSERT INTO agent_start (epoch, boot_id, started_at_ms) VALUES ($epoch, $bootId, $nowMs)',
        { epoch, bootId, nowMs },
      );
      this.#database.run('DELETE FROM agent_start WHERE epoch < $epoch - 100', { epoch });
      return { epoch, previousBootId: last === undefined ? undefined : String(last['boot_id']) };
    });
  }
}
