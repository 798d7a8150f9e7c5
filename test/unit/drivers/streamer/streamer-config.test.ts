import assert from 'node:assert/strict';
import { test } from 'node:test';
import { streamerConfig } from '../../../../src/drivers/streamer/streamer-config.ts';

const settings = {
  tls: { certificate: '/tls/node.crt', key: '/tls/node.key', ca: '/tls/ca.crt' },
  listenHost: '0.0.0.0',
  portMin: 49_152,
  portMax: 49_215,
  lanes: 2,
  compression: 'auto',
  reconnectTimeoutMs: 60_000,
} as const;
const request = {
  id: '0d7f9c1e-2f57-4a55-9f0e-5b0b7f3c2d10',
  role: 'source',
  peerName: 'spiffe://novacron/node/b',
  token: 'ab'.repeat(32),
  connect: { host: '10.0.0.2', port: 49_152 },
  bandwidthBytesPerSecond: 125_000_000,
  services: [{ name: 'ram', path: '/run/x/ram.sock', priority: 'bulk' }],
} as const;

test('a source is told where to connect', () => {
  assert.deepEqual(JSON.parse(streamerConfig(request, '/run/x', settings)), {
    version: 1,
    transferId: request.id,
    role: 'source',
    directory: '/run/x',
    tls: { ...settings.tls, peerName: request.peerName },
    token: request.token,
    connect: request.connect,
    lanes: 2,
    compression: { mode: 'auto', level: 1 },
    bandwidthBytesPerSecond: 125_000_000,
    services: request.services,
    reconnectTimeoutMs: 60_000,
    firstChannelTimeoutMs: 60_000,
    lingerMs: 1_000,
  });
});

test('a destination is told where to listen', () => {
  const config = JSON.parse(
    streamerConfig({ ...request, role: 'destination', connect: undefined }, '/run/x', settings),
  ) as Readonly<Record<string, unknown>>;
  assert.deepEqual(config['listen'], { host: '0.0.0.0', portMin: 49_152, portMax: 49_215 });
  assert.equal('connect' in config, false);
});
