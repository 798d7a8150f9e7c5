import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';

/**
 * Stands in for novacron-streamer where only its outside matters: config, status file, control socket, process.
 * Its first argument says how it misbehaves: `well`, `dies`, `refuses-control`, `silent`.
 */
const [, , behaviour = '', , configFile = ''] = process.argv;
const config = JSON.parse(readFileSync(configFile, 'utf8')) as {
  readonly transferId: string;
  readonly role: 'source' | 'destination';
  readonly directory: string;
  readonly connect?: { readonly host: string; readonly port: number };
  readonly lanes: number;
};

if (behaviour === 'dies') {
  process.stderr.write('first line\nthe key cannot be read\n');
  process.exit(3);
}

const status = {
  version: 1,
  transferId: config.transferId,
  role: config.role,
  pid: process.pid,
  startTicks: Number(readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ')[19]),
  bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
  state: 'starting',
  failure: null as { readonly code: string; readonly message: string } | null,
  listenPort: 0,
  lanesUp: 0,
  lanesConfigured: config.lanes,
  reconnects: 0,
  stalledMs: 0,
  wireBytesSent: 0,
  wireBytesReceived: 0,
  rawBytesSent: 0,
  rawBytesReceived: 0,
  channels: [],
};

function report(change: Partial<typeof status>): void {
  Object.assign(status, change);
  if (behaviour === 'silent') return;
  const file = path.join(config.directory, 'status.json');
  writeFileSync(`${file}.new`, JSON.stringify(status));
  renameSync(`${file}.new`, file);
}

function end(change: Partial<typeof status>): void {
  report(change);
  process.exit();
}

const control = createServer((connection) => {
  connection.on('error', () => {});
  // Or what it says there would betray that it listens.
  if (behaviour === 'silent') return;
  createInterface(connection).on('line', (line) => {
    const { id, method, params } = JSON.parse(line) as {
      readonly id: number;
      readonly method: string;
      readonly params: Readonly<Record<string, unknown>>;
    };
    if (behaviour === 'refuses-control') {
      connection.write(`${JSON.stringify({ id, error: { code: 'BUSY', message: 'not now' } })}\n`);
      return;
    }
    connection.write(
      `${JSON.stringify({ id, result: method === 'status' ? status : {} })}\n`,
      () => {
        if (method === 'stop') end({ state: 'finished' });
        if (method !== 'abort') return;
        end({ state: 'failed', failure: { code: 'ABORTED', message: String(params['reason']) } });
      },
    );
  });
});
control.listen(path.join(config.directory, 'control.sock'), () => {
  report({});
  if (config.connect === undefined) listen();
  else connect(config.connect);
});

function listen(): void {
  const server = createServer((connection) => {
    connection.on('error', () => {});
    report({ state: 'connected', lanesUp: config.lanes });
  });
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    report({ state: 'listening', listenPort: port });
  });
}

function connect(target: { readonly host: string; readonly port: number }): void {
  report({ state: 'connecting' });
  const connection = createConnection(target);
  connection.on('connect', () => report({ state: 'connected', lanesUp: config.lanes }));
  connection.on('error', () => {});
}
