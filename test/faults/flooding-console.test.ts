import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { createDemoVm, findConsoleLog } from '../../lab/guest/demo-vm.ts';
import { ConsoleMode } from '../../src/client/api.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';

/** An emulated serial port gives some 200 kB a second. */
const PATIENCE_MS = 180_000;

test('a guest that floods its console holds up nobody, nor fills memory', async (context) => {
  const { signal } = context;
  await using nodes = await TwoNodes.start(signal);
  const client = nodes.client('a');
  const made = await createDemoVm(
    client,
    { name: 'flood', guest: nodes.guest, parameters: 'demo.noise=10M', memory: '256Mi' },
    signal,
  );
  const over = new AbortController();
  const { responses } = client.consoles.open(
    { name: 'flood' },
    { mode: ConsoleMode.CONSOLE_MODE_READ, signal: over.signal },
  );
  assert.equal((await responses.next()).value?.response?.$case, 'opened');
  // More than all that keeps what has been written: the call, the agent, and the driver. virtlogd begins a new log every 2 MiB.
  const log = nodes.a.outside(await findConsoleLog(nodes.a, made.metadata?.uid ?? '', signal));
  await waitUntil('4 MiB that nobody reads', PATIENCE_MS, () => existsSync(`${log}.1`), signal);
  await client.vms.list({}, { signal });
  for await (const { response } of responses) {
    if (response?.$case !== 'leftOutBytes') continue;
    assert.ok(response.value > 0n);
    break;
  }
  over.abort();
});
