import { parentPort, workerData } from 'node:worker_threads';
import { Connection, type KeepAlive, lastError } from './connection.ts';
import { toLifecycleEvent } from './domain-states.ts';
import type { EventWorkerSettings, FromEventWorker } from './driver-protocol.ts';
import { COMPLETED_JOB_TYPE, toJobStatistics } from './job-statistics.ts';
import {
  EVENT_ID_DEVICE_ADDED,
  EVENT_ID_DEVICE_REMOVED,
  EVENT_ID_JOB_COMPLETED,
  EVENT_ID_LIFECYCLE,
  EVENT_ID_METADATA_CHANGE,
  EVENT_ID_MIGRATION_ITERATION,
  EVENT_ID_REBOOT,
} from './libvirt-constants.ts';
import { describeMissingSocket } from './libvirt-socket.ts';
import { forgetLostStarts } from './lost-starts.ts';
import {
  type CallbackPointer,
  createCallback,
  type DomainPointer,
  loadLibvirt,
  type TypedParametersPointer,
} from './native.ts';
import { readParameters } from './typed-parameters.ts';

/*
 * The thread that runs libvirt's event loop for ever: keepalive of all connections depends on it. It holds the
 * connection that events come through, and opens it again when it is lost. Should that block, no other
 * connection is worth keeping alive either; the agent then replaces the process.
 */

const KEEP_ALIVE: KeepAlive = { intervalS: 2, count: 3 };
const RETRY_DELAYS_MS = [100, 150, 250, 500, 1000, 2000] as const;
const LOAD_AGAIN_MS = 2_000;
const NEVER = -1;

const { uri, stateDirectory } = workerData as EventWorkerSettings;
const port = parentPort;
if (port === null) throw new Error('This file runs in a Worker only');
const report = (message: FromEventWorker): void => port.postMessage(message);

const libvirt = untilLoaded();
if (libvirt.initialize() < 0 || libvirt.registerEventLoop() < 0) throw lastError(libvirt);

let connection: Connection | undefined;
let callbackIds: number[] = [];
let failedAttempts = 0;

// The callbacks are called inside runEventLoop, so in this thread.
const onClose = createCallback('void ConnectionClosed(void *conn, int reason, void *opaque)', () =>
  scheduleAttempt('the connection was closed'),
);
const onDeviceEvent = createCallback(
  'void DeviceChange(void *conn, void *dom, const char *alias, void *opaque)',
  (_connection: unknown, domain: DomainPointer) => {
    report({ kind: 'changed', uid: uidOf(domain) });
  },
);
const onDomainEvent = new Map<number, CallbackPointer>([
  [
    EVENT_ID_LIFECYCLE,
    createCallback(
      'int Lifecycle(void *conn, void *dom, int event, int detail, void *opaque)',
      (_connection: unknown, domain: DomainPointer, type: number, detail: number) => {
        const event = toLifecycleEvent(type, detail);
        report({ kind: 'event', event: { kind: 'lifecycle', uid: uidOf(domain), ...event } });
        return 0;
      },
    ),
  ],
  [
    EVENT_ID_REBOOT,
    createCallback(
      'void Reboot(void *conn, void *dom, void *opaque)',
      (_connection: unknown, domain: DomainPointer) => {
        const event = { event: 'rebooted', byMigration: false, byHost: false } as const;
        report({ kind: 'event', event: { kind: 'lifecycle', uid: uidOf(domain), ...event } });
      },
    ),
  ],
  [
    EVENT_ID_MIGRATION_ITERATION,
    createCallback(
      'void MigrationIteration(void *conn, void *dom, int iteration, void *opaque)',
      (_connection: unknown, domain: DomainPointer, iteration: number) => {
        const uid = uidOf(domain);
        report({ kind: 'event', event: { kind: 'migration-iteration', uid, iteration } });
      },
    ),
  ],
  [
    EVENT_ID_JOB_COMPLETED,
    createCallback(
      'void JobCompleted(void *conn, void *dom, void *params, int nparams, void *opaque)',
      (
        _connection: unknown,
        domain: DomainPointer,
        parameters: TypedParametersPointer,
        count: number,
      ) => {
        const uid = uidOf(domain);
        const statistics = toJobStatistics(COMPLETED_JOB_TYPE, readParameters(parameters, count));
        report({ kind: 'event', event: { kind: 'job-completed', uid, statistics } });
      },
    ),
  ],
  [EVENT_ID_DEVICE_ADDED, onDeviceEvent],
  [EVENT_ID_DEVICE_REMOVED, onDeviceEvent],
  [
    EVENT_ID_METADATA_CHANGE,
    createCallback(
      'void MetadataChange(void *conn, void *dom, int type, const char *nsuri, void *opaque)',
      (_connection: unknown, domain: DomainPointer) => {
        report({ kind: 'changed', uid: uidOf(domain) });
      },
    ),
  ],
]);

let attemptDue = true;
const timer = libvirt.addTimeout(
  0,
  createCallback('void AttemptDue(int timer, void *opaque)', () => {
    attemptDue = true;
  }),
  null,
  null,
);

report({ kind: 'ready' });
for (;;) {
  if (attemptDue) {
    attemptDue = false;
    libvirt.updateTimeout(timer, NEVER);
    connect();
  }
  if (libvirt.runEventLoop() < 0) throw lastError(libvirt);
}

/** Blocks this thread, which has nothing else to do, until the library is there: somebody may be about to install it. */
function untilLoaded(): ReturnType<typeof loadLibvirt> {
  const pause = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  for (;;) {
    try {
      return loadLibvirt();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const advice = 'install it, 9.0 or newer: apt install libvirt0, or dnf install libvirt-libs';
      report({
        kind: 'unreachable',
        message: `libvirt's library cannot be used: ${why}; ${advice}`,
      });
      Atomics.wait(pause, 0, 0, LOAD_AGAIN_MS);
    }
  }
}

function connect(): void {
  disconnect();
  cleanUp();
  report({ kind: 'connecting' });
  try {
    connection = Connection.open(libvirt, uri, KEEP_ALIVE);
    connection.check(libvirt.registerCloseCallback(connection.pointer, onClose, null, null));
    for (const [eventId, callback] of onDomainEvent) {
      callbackIds.push(
        connection.check(
          libvirt.registerDomainEvent(connection.pointer, null, eventId, callback, null, null),
        ),
      );
    }
    failedAttempts = 0;
    report({ kind: 'connected' });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const socket = describeMissingSocket({ uri, libvirtSocket: 'auto' });
    scheduleAttempt(socket === '' ? why : `${why}; ${socket}`);
  }
}

/** Closing must not happen inside a callback of the same connection, so the loop does it, with the next attempt. */
function scheduleAttempt(message: string): void {
  report({ kind: 'unreachable', message });
  // At once: the next libvirtd may be about to read what this one has left.
  cleanUp();
  libvirt.updateTimeout(timer, RETRY_DELAYS_MS[failedAttempts] ?? RETRY_DELAYS_MS.at(-1) ?? 0);
  failedAttempts += 1;
}

function cleanUp(): void {
  const domains = stateDirectory === undefined ? [] : forgetLostStarts(stateDirectory);
  if (domains.length > 0) report({ kind: 'starts-forgotten', domains });
}

/** Registered callbacks hold the connection, so it is only freed once they are gone; failures change nothing. */
function disconnect(): void {
  if (connection === undefined) return;
  for (const id of callbackIds) libvirt.deregisterDomainEvent(connection.pointer, id);
  callbackIds = [];
  libvirt.unregisterCloseCallback(connection.pointer, onClose);
  connection[Symbol.dispose]();
  connection = undefined;
}

function uidOf(domain: DomainPointer): string {
  return connection?.uuidOf(domain) ?? '';
}
