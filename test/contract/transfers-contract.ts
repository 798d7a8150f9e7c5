import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { hasReason } from '../../src/core/errors.ts';
import type {
  TransferDriver,
  TransferRequest,
  TransferStatus,
} from '../../src/drivers/transfers.ts';

/** Two nodes that can reach each other. */
export interface TransferNodes extends AsyncDisposable {
  readonly source: TransferDriver;
  readonly destination: TransferDriver;
  /** Identities in the nodes' certificates. */
  readonly sourceName: string;
  readonly destinationName: string;
}

const signal = AbortSignal.timeout(240_000);

interface Pair extends TransferNodes {
  readonly id: string;
  readonly token: string;
}

function destinationRequest(pair: Pair): TransferRequest {
  return {
    id: pair.id,
    role: 'destination',
    peerName: pair.sourceName,
    token: pair.token,
    connect: undefined,
    bandwidthBytesPerSecond: 0,
    services: [
      {
        name: 'ram',
        path: `${pair.destination.socketPath(pair.id, 'ram')}.qemu`,
        priority: 'bulk',
      },
    ],
  };
}

function sourceRequest(pair: Pair, port: number): TransferRequest {
  return {
    ...destinationRequest(pair),
    role: 'source',
    peerName: pair.destinationName,
    connect: { host: '127.0.0.1', port },
    services: [{ name: 'ram', path: pair.source.socketPath(pair.id, 'ram'), priority: 'bulk' }],
  };
}

async function connect(pair: Pair): Promise<TransferStatus> {
  const { listenPort } = await pair.destination.start(destinationRequest(pair), signal);
  return pair.source.start(sourceRequest(pair, listenPort), signal);
}

/** What every TransferDriver promises. */
export function transfersContract(
  name: string,
  open: () => Promise<TransferNodes>,
  options: { readonly skip: string | false } = { skip: false },
): void {
  const promise = (sentence: string, check: (pair: Pair) => Promise<void>) =>
    test(`${name}: ${sentence}`, options, async () => {
      await using nodes = await open();
      const { source, destination, sourceName, destinationName } = nodes;
      await check({
        source,
        destination,
        sourceName,
        destinationName,
        id: randomUUID(),
        token: randomBytes(32).toString('hex'),
        [Symbol.asyncDispose]: async () => {},
      });
    });

  void promise('a destination listens, and a source is connected to it', async (pair) => {
    const listening = await pair.destination.start(destinationRequest(pair), signal);
    assert.equal(listening.state, 'listening');
    assert.equal(listening.role, 'destination');
    assert.notEqual(listening.listenPort, 0);
    const connected = await pair.source.start(sourceRequest(pair, listening.listenPort), signal);
    assert.equal(connected.state, 'connected');
    assert.equal(connected.id, pair.id);
    for (const driver of [pair.source, pair.destination]) {
      assert.deepEqual(
        (await driver.list(signal)).map(({ id }) => id),
        [pair.id],
      );
    }
  });

  void promise('starting the same id again returns the running one', async (pair) => {
    const request = destinationRequest(pair);
    const first = await pair.destination.start(request, signal);
    const again = await Promise.all([
      pair.destination.start(request, signal),
      pair.destination.start(request, signal),
    ]);
    assert.deepEqual(
      again.map(({ listenPort }) => listenPort),
      [first.listenPort, first.listenPort],
    );
    assert.equal((await pair.destination.list(signal)).length, 1);
  });

  void promise(
    'a transfer that is not there is not found, and all ways to end it are done',
    async (pair) => {
      const { source, id } = pair;
      assert.equal(await source.find(id, signal), undefined);
      assert.deepEqual(await source.list(signal), []);
      await source.stop(id, signal);
      await source.abort(id, 'no reason', signal);
      await source.remove(id, signal);
      await assert.rejects(source.setBandwidth(id, 1_000_000, signal), { reason: 'STREAM_FAILED' });
    },
  );

  void promise('the bandwidth of a running transfer can be changed', async (pair) => {
    await connect(pair);
    await pair.source.setBandwidth(pair.id, 10_000_000, signal);
    await pair.source.setBandwidth(pair.id, 0, signal);
  });

  void promise(
    'a stopped transfer has ended, stays to be looked at and is not begun again',
    async (pair) => {
      const connected = await connect(pair);
      await pair.source.stop(pair.id, signal);
      await pair.source.stop(pair.id, signal);
      const ended = await pair.source.find(pair.id, signal);
      assert.ok(ended?.state === 'finished' || ended?.state === 'failed', ended?.state);
      const again = await pair.source
        .start(sourceRequest(pair, connected.listenPort), signal)
        .catch((error: unknown) => {
          assert.ok(hasReason(error, 'STREAM_FAILED'), String(error));
          return ended;
        });
      assert.equal(again.state, ended.state);
      await assert.rejects(pair.source.setBandwidth(pair.id, 1, signal), {
        reason: 'STREAM_FAILED',
      });
    },
  );

  void promise('an aborted transfer has failed', async (pair) => {
    await connect(pair);
    await pair.source.abort(pair.id, 'the test wants it', signal);
    await pair.source.abort(pair.id, 'the test wants it', signal);
    const ended = await pair.source.find(pair.id, signal);
    assert.equal(ended?.state, 'failed');
    assert.notEqual(ended.failureMessage, '');
  });

  void promise('a running transfer can be removed, more than once', async (pair) => {
    await connect(pair);
    await pair.source.remove(pair.id, signal);
    await pair.source.remove(pair.id, signal);
    assert.equal(await pair.source.find(pair.id, signal), undefined);
    assert.deepEqual(await pair.source.list(signal), []);
  });

  void promise('a start that is aborted while it waits leaves nothing', async (pair) => {
    const stop = new AbortController();
    // Nothing listens on the discard port.
    const started = pair.source.start(sourceRequest(pair, 9), stop.signal);
    const failed = assert.rejects(started, { message: 'enough' });
    const ended = new AbortController();
    void started.catch(() => undefined).finally(() => ended.abort());
    while (!ended.signal.aborted && (await pair.source.list(signal)).length === 0) {
      await new Promise(setImmediate);
    }
    stop.abort(new Error('enough'));
    await failed;
    assert.equal(await pair.source.find(pair.id, signal), undefined);
  });

  void promise('a signal that is already aborted starts nothing', async (pair) => {
    const request = destinationRequest(pair);
    await assert.rejects(
      pair.destination.start(request, AbortSignal.abort(new Error('too late'))),
      { message: 'too late' },
    );
    assert.deepEqual(await pair.destination.list(signal), []);
  });

  void promise('each service of a transfer has its own socket', async ({ source, id }) => {
    assert.notEqual(source.socketPath(id, 'ram'), source.socketPath(id, 'libvirt'));
    assert.equal(source.socketPath(id, 'ram'), source.socketPath(id, 'ram'));
  });
}
