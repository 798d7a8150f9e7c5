import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempDisposable } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { tellReady } from '../../../src/drivers/linux/service-manager.ts';
import { recordedLog } from '../../fakes/recorded-log.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';

/** What systemd does: takes datagrams, and lets go of what comes with the last one, which its sender waits for. */
const LISTENER = `import socket, sys
listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
print('listening', flush=True)
while (said := listener.recv(1000)) != b'BARRIER=1':
    print(said.decode(), flush=True)
`;

test('systemd, where it waits for that, is told that the agent has started', async () => {
  await using folder = await mkdtempDisposable(path.join(os.tmpdir(), 'notify-'));
  const socket = path.join(folder.path, 'socket');
  await using listener = new OwnedProcess(
    spawn('python3', ['-c', LISTENER, socket], { stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  assert.equal(await listener.nextLine(), 'listening');
  const { log, text } = recordedLog();
  await tellReady(socket, log);
  assert.equal(await listener.nextLine(), 'READY=1');
  assert.equal(text(), '');
});

test('a service manager that is not there is no end of the agent', async () => {
  const { log, text } = recordedLog();
  await tellReady('/nowhere/socket', log);
  assert.match(text(), /Cannot tell systemd that the agent has started/);
});

test('nobody is told where nobody waits', async () => {
  const { log, text } = recordedLog();
  await tellReady(undefined, log);
  assert.equal(text(), '');
});
