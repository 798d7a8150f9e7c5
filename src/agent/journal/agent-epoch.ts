import { delay } from '../../core/delay.ts';
import { hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
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

/** A start, and whether its epoch is on the disk. */
interface BegunStart extends AgentStart {
  readonly isRecorded: boolean;
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

/** The same where nothing can be written: an epoch that no start before has had, and by the clock none after. */
async function unrecordedAgentStart(
  database: JournalDatabase,
  signal: AbortSignal,
): Promise<AgentStart> {
  const last = await database.get(
    'SELECT epoch, boot_id FROM agent_start ORDER BY epoch DESC LIMIT 1',
  );
  const epoch = Math.max(Number(last?.['epoch'] ?? -1) + 1, Math.floor(Date.now() / 1000));
  // The next start takes at least its own second.
  await delay(1_000 - (Date.now() % 1_000), signal);
  const previous = last?.['boot_id'];
  return {
    epoch,
    previousBootId: previous === undefined ? undefined : String(previous),
  };
}

/** Counts the start, even if nothing can be written. */
export async function beginAgentStart(
  database: JournalDatabase,
  bootId: string,
  signal: AbortSignal,
): Promise<BegunStart> {
  try {
    return { ...(await nextAgentStart(database, bootId, Date.now())), isRecorded: true };
  } catch (error) {
    if (!hasReason(error, 'STORAGE_FULL', 'JOURNAL_FAILURE')) throw error;
    return { ...(await unrecordedAgentStart(database, signal)), isRecorded: false };
  }
}

const RECORD_AGAIN_MS = 2_000;

/** Records a start once that can be done, which also finds out that the journal can be written again. Give it to the task group. */
export async function recordAgentStart(
  database: JournalDatabase,
  start: { readonly epoch: number; readonly bootId: string; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const { epoch, bootId, log } = start;
  const startedAtMs = Date.now();
  for (;;) {
    await delay(RECORD_AGAIN_MS, signal);
    try {
      await database.run(
        'INSERT OR IGNORE INTO agent_start (epoch, boot_id, started_at_ms) VALUES ($epoch, $bootId, $startedAtMs)',
        { epoch, bootId, startedAtMs },
      );
      log.info('The journal can be written again');
      return;
    } catch (error) {
      log.debug({ err: error }, 'The journal can still not be written');
    }
  }
}
