import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseReport } from '../../../../src/drivers/streamer/streamer-status.ts';

const ID = '0d7f9c1e-2f57-4a55-9f0e-5b0b7f3c2d10';
const written = {
  version: 1,
  transferId: ID,
  role: 'source',
  pid: 42,
  startTicks: 1_000,
  bootId: 'boot',
  state: 'reconnecting',
  failure: null,
  listenPort: 0,
  lanesUp: 1,
  lanesConfigured: 2,
  reconnects: 3,
  stalledMs: 40,
  wireBytesSent: 5,
  wireBytesReceived: 6,
  rawBytesSent: 7,
  rawBytesReceived: 8,
};

test('a status is read, also one that says more than we know', () => {
  assert.deepEqual(parseReport(JSON.stringify({ ...written, novelty: [1] }), ID), {
    status: {
      id: ID,
      role: 'source',
      state: 'reconnecting',
      failureCode: '',
      failureMessage: '',
      listenPort: 0,
      lanesUp: 1,
      lanesConfigured: 2,
      reconnects: 3,
      stalledMs: 40,
      wireBytesSent: 5,
      wireBytesReceived: 6,
      rawBytesSent: 7,
      rawBytesReceived: 8,
    },
    process: { pid: 42, startTicks: 1_000, bootId: 'boot' },
  });
});

for (const [what, text] of [
  ['no JSON', '{"version": 1, "transf'],
  ['empty', ''],
  ['of another version', JSON.stringify({ ...written, version: 2 })],
  ['of another transfer', JSON.stringify({ ...written, transferId: 'other' })],
  ['in an unknown state', JSON.stringify({ ...written, state: 'dreaming' })],
  ['with a negative count', JSON.stringify({ ...written, wireBytesSent: -1 })],
  ['without a pid', JSON.stringify({ ...written, pid: undefined })],
] as const) {
  test(`a status that is ${what} is none`, () => {
    assert.equal(parseReport(text, ID), undefined);
  });
}
