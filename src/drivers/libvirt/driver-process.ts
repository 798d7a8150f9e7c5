import { readdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { keepMemorySmall } from '../../core/memory-keeper.ts';
import { CallThreads } from './call-threads.ts';
import type { DriverDiagnostics, DriverSettings, FromDriver, ToDriver } from './driver-protocol.ts';
import { EventConnection } from './event-connection.ts';
import { type LibvirtLibrary, loadLibvirt } from './native.ts';
import { PassedDescriptor } from './passed-descriptor.ts';
import { ThreadClient } from './thread-client.ts';
import { ThreadPool } from './thread-pool.ts';

/*
 * The process that libvirt's library lives in. JavaScript passes messages here and never blocks: what does, happens in threads
 * of C. The agent may kill it at any time.
 */

const LOAD_AGAIN_MS = 2_000;

process.title = 'novacron-libvirt';

// Without an agent there is nothing to do. Exiting would wait for what is blocked in libvirt.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
if (!process.connected) process.kill(process.pid, 'SIGKILL');
// A signal for the whole process group, such as Ctrl-C, is for the agent: it ends us when it is done with us.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {});

const send = (message: FromDriver): void => {
  if (message.kind === 'result' && message.value instanceof PassedDescriptor) {
    const { fd } = message.value;
    // One that is to be read begins to read at once, and what it has read is lost to the agent.
    const socket = new Socket({ fd, readable: false, writable: true });
    // Without an agent that takes it it is closed, which whoever is at the other end sees.
    if (process.connected) process.send?.({ ...message, value: undefined }, socket);
    else socket.destroy();
  } else if (process.connected) process.send?.(message);
};

keepMemorySmall();
// At once, as it takes longer than the agent takes to have settings.
const first = tryToLoad();
process.once('message', (message: ToDriver) => {
  if (message.kind === 'begin') begin(message.settings, first);
});

/** Tries again until libvirt's library is there: somebody may be about to install it. Nothing is asked before that. */
function begin(settings: DriverSettings, loaded: LibvirtLibrary | Error): void {
  if (!(loaded instanceof Error)) return serve(loaded, settings);
  const advice = 'install it, 9.0 or newer: apt install libvirt0, or dnf install libvirt-libs';
  const message = `libvirt's library cannot be used: ${loaded.message}; ${advice}`;
  send({ kind: 'unreachable', message });
  setTimeout(() => begin(settings, tryToLoad()), LOAD_AGAIN_MS);
}

function tryToLoad(): LibvirtLibrary | Error {
  let library: LibvirtLibrary;
  try {
    library = loadLibvirt();
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
  // Nothing works without the event loop: the agent starts the process again.
  if (library.initialize() < 0 || library.registerEventLoop() < 0) {
    throw new Error('libvirt does not begin');
  }
  return library;
}

function serve(library: LibvirtLibrary, settings: DriverSettings): void {
  const threads = new CallThreads({
    resetLastError: library.addressOf('virResetLastError'),
    getLastError: library.addressOf('virGetLastError'),
    getUuid: library.addressOf('virDomainGetUUIDString'),
    runEventLoop: library.addressOf('virEventRunDefaultImpl'),
    onEvent: (event) => events.receive(event),
    onLoopFailed: (message) => {
      process.stderr.write(`libvirt's event loop has ended: ${message}\n`, () =>
        process.kill(process.pid, 'SIGKILL'),
      );
    },
  });
  // Keepalive of all connections depends on it.
  threads.runEvents();
  const { uri, stateDirectory } = settings;
  const pool = new ThreadPool({
    start: (lane) => new ThreadClient({ library, thread: threads.start(), uri, lane }),
    size: settings.callWorkers,
    onOutcome: send,
    onExhausted: (stuckThreads) => send({ kind: 'exhausted', stuckThreads }),
  });
  const events = new EventConnection({
    library,
    thread: threads.start(),
    handler: (name) => threads.handler(name),
    uri,
    stateDirectory,
    report: send,
  });
  process.on('message', (message: ToDriver) => {
    switch (message.kind) {
      case 'call':
        pool.submit(message);
        break;
      case 'forget':
        pool.forget(message.id);
        break;
      case 'diagnose':
        send({ kind: 'result', id: message.id, value: diagnose(pool) });
        break;
      default:
        throw new Error('The driver process has its settings already');
    }
  });
}

function diagnose(pool: ThreadPool): DriverDiagnostics {
  return {
    ...pool.diagnose(),
    pid: process.pid,
    threads: pool.threads,
    stuckThreads: pool.stuckThreads,
    openFiles: readdirSync('/proc/self/fd').length,
    rssBytes: process.memoryUsage.rss(),
  };
}
