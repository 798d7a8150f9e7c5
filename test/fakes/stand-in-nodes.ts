import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createLogger } from '../../src/core/logger.ts';
import type { StreamerTls } from '../../src/drivers/streamer/streamer-config.ts';
import { StreamerTransfers } from '../../src/drivers/streamer/streamer-transfers.ts';

export interface StandInNode extends AsyncDisposable {
  readonly runDirectory: string;
  readonly binary: string;
  readonly transfers: StreamerTransfers;
}

const NO_TLS = { certificate: '/nowhere.crt', key: '/nowhere.key', ca: '/nowhere-ca.crt' };

export function transfersOf(
  runDirectory: string,
  binary: string,
  tls: StreamerTls = NO_TLS,
  listenHost = '127.0.0.1',
): StreamerTransfers {
  return new StreamerTransfers({
    binary,
    runDirectory,
    tls,
    listenHost,
    portMin: 49_152,
    portMax: 49_215,
    lanes: 2,
    compression: 'auto',
    reconnectTimeoutMs: 60_000,
    logger: createLogger('silent'),
  });
}

/** A run directory with a driver that runs the stand-in, which behaves as named. */
export async function openStandInNode(behaviour = 'well'): Promise<StandInNode> {
  const runDirectory = await mkdtemp(path.join(tmpdir(), 'streamer-'));
  const binary = path.join(runDirectory, 'streamer');
  const program = path.join(import.meta.dirname, 'stand-in-streamer.ts');
  await writeFile(binary, `#!/bin/sh\nexec ${process.execPath} ${program} ${behaviour} "$@"\n`, {
    mode: 0o755,
  });
  const transfers = transfersOf(runDirectory, binary);
  return {
    runDirectory,
    binary,
    transfers,
    [Symbol.asyncDispose]: async () => {
      const signal = AbortSignal.timeout(60_000);
      try {
        for (const { id } of await transfers.list(signal)) await transfers.remove(id, signal);
      } finally {
        await rm(runDirectory, { recursive: true, force: true });
      }
    },
  };
}
