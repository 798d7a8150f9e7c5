import type { CallThread, EventHandlerName, NativeEvent } from './call-threads.ts';
import { Connection, type KeepAlive } from './connection.ts';
import { toLifecycleEvent, toWatchdogAction } from './domain-states.ts';
import type { ConnectionReport, DomainReport } from './driver-protocol.ts';
import { COMPLETED_JOB_TYPE, toJobStatistics } from './job-statistics.ts';
import {
  EVENT_ID_AGENT_LIFECYCLE,
  EVENT_ID_CLOSED,
  EVENT_ID_DEVICE_ADDED,
  EVENT_ID_DEVICE_REMOVAL_FAILED,
  EVENT_ID_DEVICE_REMOVED,
  EVENT_ID_JOB_COMPLETED,
  EVENT_ID_LIFECYCLE,
  EVENT_ID_METADATA_CHANGE,
  EVENT_ID_MIGRATION_ITERATION,
  EVENT_ID_REBOOT,
  EVENT_ID_TRAY_CHANGE,
  EVENT_ID_WATCHDOG,
} from './libvirt-constants.ts';
import { describeMissingSocket } from './libvirt-socket.ts';
import { forgetLostStarts } from './lost-starts.ts';
import type { LibvirtLibrary } from './native.ts';
import type { CallbackPointer } from './native-pointers.ts';
import { decodeParameters } from './typed-parameters.ts';

export interface EventConnectionOptions {
  readonly library: LibvirtLibrary;
  /** That of this connection alone. */
  readonly thread: CallThread;
  readonly handler: (name: EventHandlerName) => bigint;
  readonly uri: string;
  /** Where libvirt keeps files about the domains that run; undefined leaves them alone. */
  readonly stateDirectory: string | undefined;
  readonly report: (report: ConnectionReport | DomainReport) => void;
}

const KEEP_ALIVE: KeepAlive = { intervalS: 2, count: 3 };
const RETRY_DELAYS_MS = [100, 150, 250, 500, 1000, 2000] as const;

const CLOSED = 'the connection was closed';

const HANDLERS: ReadonlyMap<number, EventHandlerName> = new Map([
  [EVENT_ID_LIFECYCLE, 'on_lifecycle'],
  [EVENT_ID_REBOOT, 'on_domain'],
  // Its callback takes two numbers as well; which they are, the domain's XML says.
  [EVENT_ID_AGENT_LIFECYCLE, 'on_lifecycle'],
  [EVENT_ID_WATCHDOG, 'on_number'],
  [EVENT_ID_MIGRATION_ITERATION, 'on_number'],
  [EVENT_ID_JOB_COMPLETED, 'on_parameters'],
  [EVENT_ID_DEVICE_ADDED, 'on_text'],
  [EVENT_ID_DEVICE_REMOVED, 'on_text'],
  [EVENT_ID_DEVICE_REMOVAL_FAILED, 'on_text'],
  [EVENT_ID_METADATA_CHANGE, 'on_number_and_text'],
  [EVENT_ID_TRAY_CHANGE, 'on_text_and_number'],
]);

/**
 * The connection that events come through, opened again when it is lost. Should its opening block, no other connection is worth
 * keeping alive either; the agent then replaces the process.
 */
export class EventConnection {
  readonly #options: EventConnectionOptions;
  readonly #onClose: CallbackPointer;
  #connection: Connection | undefined;
  #callbackIds: number[] = [];
  #failedAttempts = 0;
  #isConnecting = false;
  /** While it was being made. */
  #wasClosed = false;

  constructor(options: EventConnectionOptions) {
    this.#options = options;
    this.#onClose = options.handler('on_close') as CallbackPointer;
    void this.#connect();
  }

  receive({ id, connection, uid, detail, body }: NativeEvent): void {
    // One that was lost may tell a little more.
    if (connection !== this.#connection?.pointer) return;
    const { report } = this.#options;
    switch (id) {
      case EVENT_ID_CLOSED:
        if (this.#isConnecting) this.#wasClosed = true;
        else this.#retryLater(CLOSED);
        break;
      case EVENT_ID_LIFECYCLE: {
        const event = { kind: 'lifecycle', uid, ...toLifecycleEvent(...detail) } as const;
        report({ kind: 'event', event });
        break;
      }
      case EVENT_ID_REBOOT: {
        const event = { event: 'rebooted', byMigration: false, byHost: false } as const;
        report({ kind: 'event', event: { kind: 'lifecycle', uid, ...event } });
        break;
      }
      case EVENT_ID_AGENT_LIFECYCLE:
        report({ kind: 'event', event: { kind: 'guest-agent', uid } });
        break;
      case EVENT_ID_WATCHDOG:
        report({
          kind: 'event',
          event: { kind: 'watchdog', uid, action: toWatchdogAction(detail[0]) },
        });
        break;
      case EVENT_ID_MIGRATION_ITERATION:
        report({
          kind: 'event',
          event: { kind: 'migration-iteration', uid, iteration: detail[0] },
        });
        break;
      case EVENT_ID_JOB_COMPLETED: {
        const statistics = toJobStatistics(COMPLETED_JOB_TYPE, decodeParameters(body));
        report({ kind: 'event', event: { kind: 'job-completed', uid, statistics } });
        break;
      }
      default:
        report({ kind: 'changed', uid });
    }
  }

  async #connect(): Promise<void> {
    const { library, thread, uri, report } = this.#options;
    this.#isConnecting = true;
    this.#wasClosed = false;
    try {
      await this.#disconnect();
      this.#cleanUp();
      report({ kind: 'connecting' });
      const connection = await Connection.open(library.on(thread), uri, KEEP_ALIVE);
      this.#connection = connection;
      await this.#register(connection);
      if (this.#wasClosed) throw new Error(CLOSED);
      this.#failedAttempts = 0;
      report({ kind: 'connected' });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      const socket = await describeMissingSocket({ uri, libvirtSocket: 'auto' });
      this.#retryLater(socket === '' ? why : `${why}; ${socket}`);
    } finally {
      this.#isConnecting = false;
    }
  }

  async #register(connection: Connection): Promise<void> {
    const { libvirt, pointer } = connection;
    await connection.check(libvirt.registerCloseCallback(pointer, this.#onClose, null, null));
    for (const [eventId, handler] of HANDLERS) {
      const callback = this.#options.handler(handler) as CallbackPointer;
      // The handlers are given the number of their event.
      const data = BigInt(eventId);
      const registered = libvirt.registerDomainEvent(pointer, null, eventId, callback, data, null);
      this.#callbackIds.push(await connection.check(registered));
    }
  }

  #retryLater(message: string): void {
    this.#options.report({ kind: 'unreachable', message });
    // At once: the next libvirtd may be about to read what this one has left.
    this.#cleanUp();
    const delayMs = RETRY_DELAYS_MS[this.#failedAttempts] ?? RETRY_DELAYS_MS.at(-1);
    this.#failedAttempts += 1;
    setTimeout(() => void this.#connect(), delayMs);
  }

  #cleanUp(): void {
    const { stateDirectory, report } = this.#options;
    const domains = stateDirectory === undefined ? [] : forgetLostStarts(stateDirectory);
    if (domains.length > 0) report({ kind: 'starts-forgotten', domains });
  }

  /** Registered callbacks hold the connection, so it is only freed once they are gone; failures change nothing. */
  async #disconnect(): Promise<void> {
    const connection = this.#connection;
    this.#connection = undefined;
    const ids = this.#callbackIds;
    this.#callbackIds = [];
    if (connection === undefined) return;
    const { libvirt, pointer } = connection;
    for (const id of ids) await libvirt.deregisterDomainEvent(pointer, id);
    await libvirt.unregisterCloseCallback(pointer, this.#onClose);
    await connection.close();
  }
}
