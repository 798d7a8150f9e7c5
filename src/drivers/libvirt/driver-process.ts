import { readdirSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import {
  type CallRequest,
  type DriverDiagnostics,
  type DriverSettings,
  type EventWorkerSettings,
  type FromDriver,
  type FromEventWorker,
  partUrl,
  type ToDriver,
} from './driver-protocol.ts';
import { WorkerPool } from './worker-pool.ts';

/*
 * The process that libvirt's library lives in. Its main thread passes messages and never blocks; the agent may kill
 * it at any time.
 */

const settings = JSON.parse(process.argv[2] ?? '{}') as DriverSettings;
process.title = 'novacron-libvirt';

// Without an agent there is nothing to do. Exiting would wait for Workers that are blocked in libvirt.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
if (!process.connected) process.kill(process.pid, 'SIGKILL');
// A signal for the whole process group, such as Ctrl-C, is for the agent: it ends us when it is done with us.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

const send = (message: FromDriver): void => {
  if (process.connected) process.send?.(message);
};

const pool = new WorkerPool({
  uri: settings.uri,
  size: settings.callWorkers,
  onOutcome: send,
  onExhausted: (stuckWorkers) => send({ kind: 'exhausted', stuckWorkers }),
});

/** Calls that came before libvirt's event loop was there. */
let early: CallRequest[] | undefined = [];

const events = new Worker(partUrl('event-worker'), {
  workerData: settings satisfies EventWorkerSettings,
});
events.on('message', (message: FromEventWorker) => {
  if (message.kind !== 'ready') return send(message);
  for (const request of early ?? []) pool.submit(request);
  early = undefined;
});
// Nothing works without the event loop: the agent starts the process again.
events.on('error', (error) => {
  process.stderr.write(`${error.stack ?? error.message}\n`, () =>
    process.kill(process.pid, 'SIGKILL'),
  );
});

process.on('message', (message: ToDriver) => {
  switch (message.kind) {
    case 'call':
      if (early === undefined) pool.submit(message);
      else early.push(message);
      break;
    case 'forget':
      early = early?.filter((request) => request.id !== message.id);
      pool.forget(message.id);
      break;
    default:
      void diagnose().then((value) => send({ kind: 'result', id: message.id, value }));
  }
});

async function diagnose(): Promise<DriverDiagnostics> {
  return {
    ...(await pool.diagnose()),
    pid: process.pid,
    workers: pool.workers,
    stuckWorkers: pool.stuckWorkers,
    openFiles: readdirSync('/proc/self/fd').length,
    rssBytes: process.memoryUsage.rss(),
  };
}
