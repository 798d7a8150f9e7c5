import { randomUUID } from 'node:crypto';
import type { StreamerTls } from '../../../src/drivers/streamer/streamer-config.ts';
import { transfersOf } from '../../fakes/stand-in-nodes.ts';

// An agent in small: starts a transfer, says which, and lives until the test kills its process group.
const [, , runDirectory = '', binary = '', tls = ''] = process.argv;
const credentials = tls === '' ? undefined : (JSON.parse(tls) as StreamerTls);
const { id } = await transfersOf(runDirectory, binary, credentials).start(
  {
    id: randomUUID(),
    role: 'destination',
    peerName: 'spiffe://novacron/node/a',
    token: 'ab'.repeat(32),
    connect: undefined,
    bandwidthBytesPerSecond: 0,
    services: [{ name: 'ram', path: `${runDirectory}/ram.target`, priority: 'bulk' }],
  },
  AbortSignal.timeout(60_000),
);
process.stdout.write(`${id}\n`);
setInterval(() => {}, 60_000);
