import type { JournalDatabase } from './journal-database.ts';

/** Times are milliseconds since 1970. */
export const CREATE_AGENT_START = `
  CREATE TABLE agent_start (
    epoch INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL
  ) STRICT;
`;

export interface AgentStart {
  /** Higher than that of every earlier start on this node. */
  readonly epoch: number;
  /** The boot id at the start before; undefined if none is known. Another one means that the node has rebooted. */
  readonly previousBootId: string | undefined;
}

/**
 * Counts the agent's starts, so that its reports can be told from those of an earlier one. Call once per start; the
 * epoch is on the disk when this resolves.
 */
export async function nextAgentStart(
  database: JournalDatabase,
  bootId: string,
  nowMs: number,
): Promise<AgentStart> {
  const [last, next] = await database.transaction([
    { sql: 'SELECT boot_id FROM agent_start ORDER BY epoch DESC LIMIT 1' },
    {
      // At least the time: the node may have had another journal before, or this one is restored from a backup. Receivers
      // refuse lower epochs, and could not tell one that is given out twice.
      sql: `INSERT INTO agent_start (epoch, boot_id, started_at_ms)
        SELECT max(coalesce(max(epoch) + 1, 0), $nowSeconds), $bootId, $nowMs FROM agent_start RETURNING epoch`,
      parameters: { nowSeconds: Math.floor(nowMs / 1000), bootId, nowMs },
    },
    { sql: 'DELETE FROM agent_start WHERE epoch < (SELECT max(epoch) FROM agent_start) - 100' },
  ]);
  const previous = last?.rows[0]?.['boot_id'];
  return {
    epoch: Number(next?.rows[0]?.['epoch']),
    previousBootId: previous === undefined ? undefined : String(previous),
  };
}
