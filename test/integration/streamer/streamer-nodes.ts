import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Certificates } from '../../../lab/node/certificates.ts';
import type { StreamerTls } from '../../../src/drivers/streamer/streamer-config.ts';
import type { StreamerTransfers } from '../../../src/drivers/streamer/streamer-transfers.ts';
import type { TransferNodes } from '../../contract/transfers-contract.ts';
import { transfersOf } from '../../fakes/stand-in-nodes.ts';

export const BINARY = path.resolve('build/streamer/novacron-streamer');

/** Why tests with the real program cannot run; false if they can. */
export const missing = existsSync(BINARY) ? false : `${BINARY} is not built`;

export interface StreamerNodes extends TransferNodes {
  readonly source: StreamerTransfers;
  readonly destination: StreamerTransfers;
  readonly destinationDirectory: string;
  readonly destinationTls: StreamerTls;
}

/** Two nodes on this host with certificates of one authority, running the real program. */
export async function openStreamerNodes(listenHost?: string): Promise<StreamerNodes> {
  const signal = AbortSignal.timeout(60_000);
  await using owned = new AsyncDisposableStack();
  const folder = await mkdtemp(path.join(tmpdir(), 'streamers-'));
  owned.defer(() => rm(folder, { recursive: true, force: true }));
  const certificates = await Certificates.ensure(path.join(folder, 'tls'), signal);
  const issue = (name: string) =>
    certificates.issue(name, `URI:${identity(name)},IP:127.0.0.1`, signal);
  const destinationTls = await issue('b');
  const destinationDirectory = path.join(folder, 'b');
  const source = transfersOf(path.join(folder, 'a'), BINARY, await issue('a'));
  const destination = transfersOf(destinationDirectory, BINARY, destinationTls, listenHost);
  owned.defer(async () => {
    const limit = AbortSignal.timeout(60_000);
    for (const node of [source, destination]) {
      for (const { id } of await node.list(limit)) await node.remove(id, limit);
    }
  });
  const moved = owned.move();
  return {
    source,
    destination,
    destinationDirectory,
    destinationTls,
    sourceName: identity('a'),
    destinationName: identity('b'),
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

function identity(name: string): string {
  return `spiffe://novacron/node/${name}`;
}
