import { parentPort, workerData } from 'node:worker_threads';
import { Connection, type KeepAlive } from './connection.ts';
import type {
  CallOutcome,
  CallRequest,
  CallWorkerSettings,
  ToCallWorker,
  WorkerDiagnostics,
} from './driver-protocol.ts';
import { describeFailure } from './errors.ts';
import { loadLibvirt } from './native.ts';
import { OPERATIONS } from './operations.ts';

/*
 * One thread that makes one blocking libvirt call at a time, on a connection of its own: keepalive frees only one
 * of the calls that hang on a connection.
 */

/** Shorter than a call's usual deadline, so that a hung libvirtd shows as what it is. */
const KEEP_ALIVE: KeepAlive = { intervalS: 2, count: 3 };
/** A long call lost for a passing stall of libvirtd would leave its caller without the result. */
const KEEP_ALIVE_LONG: KeepAlive = { intervalS: 5, count: 6 };

const settings = workerData as CallWorkerSettings;
const port = parentPort;
if (port === null) throw new Error('This file runs in a Worker only');

const libvirt = loadLibvirt();
let connection: Connection | undefined;

port.on('message', (message: ToCallWorker) => {
  switch (message.kind) {
    case 'call':
      port.postMessage(perform(message));
      break;
    case 'diagnose':
      port.postMessage({ kind: 'result', id: message.id, value: diagnose() } satisfies CallOutcome);
      break;
    default:
      connection?.[Symbol.dispose]();
      connection = undefined;
      port.close();
  }
});

function perform(request: CallRequest): CallOutcome {
  try {
    const open = openConnection();
    libvirt.resetLastError();
    const operation = OPERATIONS[request.operation] as (
      connection: Connection,
      ...values: readonly unknown[]
    ) => unknown;
    return { kind: 'result', id: request.id, value: operation(open, ...request.values) };
  } catch (error) {
    const alive = connection?.isAlive ?? false;
    return { kind: 'failure', id: request.id, failure: describeFailure(error, alive) };
  }
}

/** The connection, opened anew if it has been lost. */
function openConnection(): Connection {
  if (connection !== undefined && !connection.isAlive) {
    connection[Symbol.dispose]();
    connection = undefined;
  }
  const keepAlive = settings.lane === 'long' ? KEEP_ALIVE_LONG : KEEP_ALIVE;
  connection ??= Connection.open(libvirt, settings.uri, keepAlive);
  return connection;
}

function diagnose(): WorkerDiagnostics {
  return {
    openConnections: connection === undefined ? 0 : 1,
    openDomains: connection?.openDomains ?? 0,
  };
}
