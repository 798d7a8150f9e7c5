import * as z from '../../core/zod.ts';
import type { TransferState, TransferStatus } from '../transfers.ts';
import type { ProcessIdentity } from './process-identity.ts';

const count = z.int().nonnegative();

/** What a streamer says of itself, in its status file and on its control socket. Newer ones may say more. */
const statusSchema = z.object({
  version: z.literal(1),
  transferId: z.string(),
  role: z.enum(['source', 'destination']),
  pid: count,
  startTicks: count,
  bootId: z.string(),
  state: z.enum([
    'starting',
    'listening',
    'connecting',
    'connected',
    'reconnecting',
    'finished',
    'failed',
  ]),
  failure: z.object({ code: z.string(), message: z.string() }).nullable(),
  listenPort: count.max(65_535),
  lanesUp: count,
  lanesConfigured: count,
  reconnects: count,
  stalledMs: count,
  wireBytesSent: count,
  wireBytesReceived: count,
  // A streamer that is still starting says nothing of its channels.
  rawBytesSent: count.default(0),
  rawBytesReceived: count.default(0),
});

export interface StreamerReport {
  readonly status: TransferStatus;
  readonly process: ProcessIdentity;
}

/** Reads a report about this transfer; undefined if it is none. */
export function decodeReport(value: unknown, id: string): StreamerReport | undefined {
  const result = statusSchema.safeParse(value);
  if (!result.success || result.data.transferId !== id) return undefined;
  const { transferId, pid, startTicks, bootId, failure, version: _, ...rest } = result.data;
  return {
    status: {
      id: transferId,
      ...rest,
      failureCode: failure?.code ?? '',
      failureMessage: failure?.message ?? '',
    },
    process: { pid, startTicks, bootId },
  };
}

export function parseReport(text: string, id: string): StreamerReport | undefined {
  try {
    return decodeReport(JSON.parse(text), id);
  } catch {
    return undefined;
  }
}

export function hasEnded(state: TransferState): boolean {
  return state === 'finished' || state === 'failed' || state === 'lost';
}

/** The status of a transfer that has not said anything. */
export function silentStatus(
  id: string,
  role: TransferStatus['role'],
  end: Pick<TransferStatus, 'state' | 'failureCode' | 'failureMessage'>,
): TransferStatus {
  return {
    id,
    role,
    ...end,
    listenPort: 0,
    lanesUp: 0,
    lanesConfigured: 0,
    reconnects: 0,
    stalledMs: 0,
    wireBytesSent: 0,
    wireBytesReceived: 0,
    rawBytesSent: 0,
    rawBytesReceived: 0,
  };
}
