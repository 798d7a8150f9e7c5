import type { ChildProcess } from 'node:child_process';
import { Socket } from 'node:net';
import { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { ConnectionGate, type ConnectionState } from './connection-gate.ts';
import { isUsable, launchDriver } from './driver-launch.ts';
import {
  type DomainReport,
  type DriverDiagnostics,
  type DriverSettings,
  type FromDriver,
  type Lane,
  type ToDriver,
} from './driver-protocol.ts';
import { toAgentError } from './errors.ts';
import type { OperationArguments, OperationName, OperationResult } from './operations.ts';
import { PendingCalls } from './pending-calls.ts';

export interface DriverSupervisorOptions extends DriverSettings {
  /** A driver process that was launched before; one is launched if none is given. */
  readonly launched: ChildProcess | undefined;
  readonly launch?: () => ChildProcess;
  readonly callTimeoutMs: number;
  readonly logger: Logger | undefined;
  readonly onConnected: () => void;
  readonly onDisconnected: (error: Error) => void;
  readonly onReport: (report: DomainReport) => void;
  /** `outcome` is `ok`, `aborted` or the reason of the failure. */
  readonly onCallEnded: ((call: string, outcome: string) => void) | undefined;
}

export interface CallOptions {
  /** What is to be done, for the message of a failure: "start VM default/web". */
  readonly action: string;
  readonly uid?: string;
  /** Default `pool`. A `long` call has no deadline. */
  readonly lane?: Lane;
  readonly timeoutMs?: number;
}

/** Longest that the process may take to come up: on a busy node that is no reason to start it again and again. */
const START_TIMEOUT_MS = 30_000;
/** Longest that opening libvirt may take before the process is replaced. */
const CONNECT_TIMEOUT_MS = 5_000;
/** How often that doubles while replacing it has helped nothing: a node may just be slow. */
const MOST_DOUBLINGS = 3;
const CALL_WAITS_FOR_CONNECTION_MS = 2_000;
/** A probe opens libvirt anew. */
const PROBE_TIMEOUT_MS = CONNECT_TIMEOUT_MS;
const RESPAWN_DELAYS_MS = [0, 100, 250, 500, 1000, 2000] as const;

/**
 * Keeps one driver process running and gives each call a deadline. One hung call fails alone; if libvirt as a whole
 * does not answer, the process is killed and replaced, which is the only way to end threads that hang in it.
 */
export class DriverSupervisor implements AsyncDisposable {
  readonly #options: DriverSupervisorOptions;
  readonly #pending = new PendingCalls();
  readonly #gate = new ConnectionGate();
  #child: ChildProcess | undefined;
  /** Whether watchers were last told that there is a connection. */
  #announced = false;
  #connectTimer: NodeJS.Timeout | undefined;
  #spawnTimer: NodeJS.Timeout | undefined;
  /** Since libvirt has answered a call. */
  #fruitlessSpawns = 0;
  #probing = false;
  #closed = false;

  constructor(options: DriverSupervisorOptions) {
    this.#options = options;
    const { launched } = options;
    this.#take(launched !== undefined && isUsable(launched) ? launched : this.#launch());
  }

  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Fails with HYPERVISOR_TIMEOUT after its deadline; the call may still have its effect later. */
  async call<Name extends OperationName>(
    operation: Name,
    values: OperationArguments<Name>,
    options: CallOptions,
    signal: AbortSignal,
  ): Promise<OperationResult<Name>> {
    signal.throwIfAborted();
    let outcome = 'aborted';
    try {
      const result = await this.#call(operation, values, options, signal);
      outcome = 'ok';
      return result;
    } catch (error) {
      if (error instanceof AgentError && !signal.aborted) outcome = error.reason;
      throw error;
    } finally {
      this.#options.onCallEnded?.(operation, outcome);
    }
  }

  async #call<Name extends OperationName>(
    operation: Name,
    values: OperationArguments<Name>,
    options: CallOptions,
    signal: AbortSignal,
  ): Promise<OperationResult<Name>> {
    const startedAtMs = performance.now();
    await this.#waitForConnection(options.action, signal);
    const timeoutMs = options.timeoutMs ?? this.#options.callTimeoutMs;
    const { uid, action, lane = 'pool' } = options;
    const metadata: Record<string, string> = uid === undefined ? {} : { vmId: uid };
    const value = await this.#pending.add(
      {
        timeoutMs:
          lane === 'long' ? undefined : Math.max(1, timeoutMs - (performance.now() - startedAtMs)),
        toError: (failure) => {
          const error = toAgentError(failure, { operation, action, metadata });
          if (error.reason !== 'HYPERVISOR_UNREACHABLE') this.#fruitlessSpawns = 0;
          return error;
        },
        onTimeout: (id) => {
          this.#send({ kind: 'forget', id });
          void this.#probe();
          return new AgentError(
            'HYPERVISOR_TIMEOUT',
            `Cannot ${action}: libvirt did not answer within ${timeoutMs} ms`,
            { metadata },
          );
        },
        onLost: (cause) => lostCall(action, lane, cause, metadata),
      },
      (id) => this.#send({ kind: 'call', id, operation, values, uid, lane }),
      signal,
    );
    this.#fruitlessSpawns = 0;
    return value as OperationResult<Name>;
  }

  /** Handles, descriptors and memory of the driver process. */
  async diagnose(signal: AbortSignal): Promise<DriverDiagnostics> {
    const action = 'read the diagnostics of the libvirt driver';
    await this.#waitForConnection(action, signal);
    const failed = (cause: Error) => lostCall(action, 'pool', cause, {});
    const value = await this.#pending.add(
      {
        timeoutMs: this.#options.callTimeoutMs,
        toError: (failure) => failed(new Error(failure.message)),
        onTimeout: () => failed(new Error('no answer')),
        onLost: failed,
      },
      (id) => this.#send({ kind: 'diagnose', id }),
      signal,
    );
    return value as DriverDiagnostics;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#spawnTimer);
    clearTimeout(this.#connectTimer);
    const child = this.#child;
    const ended = child && new Promise((resolve) => child.once('exit', resolve));
    this.#drop(new Error('The libvirt driver was closed'));
    // Without it nothing may be left that keeps this process waiting, and it would end in the middle of its own end.
    child?.ref();
    await ended;
  }

  #launch(): ChildProcess {
    return (this.#options.launch ?? launchDriver)();
  }

  #patienceMs(ms: number): number {
    const doublings = Math.min(Math.max(0, this.#fruitlessSpawns - 1), MOST_DOUBLINGS);
    return ms * 2 ** doublings;
  }

  #take(child: ChildProcess): void {
    this.#child = child;
    this.#watch(START_TIMEOUT_MS, 'its start');
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.#options.logger?.warn({ text }, 'The libvirt driver process wrote to its error output');
    });
    child.on('message', (message, handle) => {
      const socket = handle instanceof Socket ? handle : undefined;
      if (child === this.#child) this.#receive(message as FromDriver, socket);
      else socket?.destroy();
    });
    const onEnd = (cause: Error): void => {
      if (child === this.#child) this.#respawn(cause);
    };
    child.on('error', onEnd);
    child.on('exit', (code, by) =>
      onEnd(new Error(`The libvirt driver process ended (${by ?? `exit status ${code}`})`)),
    );
    const { uri, callWorkers, stateDirectory } = this.#options;
    this.#send({ kind: 'begin', settings: { uri, callWorkers, stateDirectory } });
  }

  #receive(message: FromDriver, socket: Socket | undefined): void {
    switch (message.kind) {
      case 'result':
        if (!this.#pending.resolve(message.id, socket ?? message.value)) socket?.destroy();
        break;
      case 'failure':
        this.#pending.fail(message.id, message.failure);
        break;
      case 'connecting':
        this.#watch(this.#patienceMs(CONNECT_TIMEOUT_MS), 'libvirt');
        break;
      case 'connected':
        clearTimeout(this.#connectTimer);
        this.#setConnection({ state: 'connected' });
        break;
      case 'unreachable':
        clearTimeout(this.#connectTimer);
        this.#setConnection({ state: 'unreachable', error: new Error(message.message) });
        break;
      case 'starts-forgotten':
        this.#options.logger?.warn(
          { domains: message.domains },
          'libvirt has ended while it was starting VMs; what it has kept of that is removed',
        );
        break;
      case 'exhausted':
        this.#respawn(new Error(`${message.stuckThreads} calls to libvirt hang`));
        break;
      default:
        this.#options.onReport(message);
    }
  }

  /** Replaces the process if it does not say within the time how far it has come. */
  #watch(timeoutMs: number, what: string): void {
    clearTimeout(this.#connectTimer);
    this.#connectTimer = setTimeout(() => {
      this.#respawn(new Error(`The driver process waited for ${what} for ${timeoutMs} ms`));
    }, timeoutMs);
  }

  /** After a call has hung: is it this call, or libvirt as a whole? */
  async #probe(): Promise<void> {
    if (this.#probing) return;
    this.#probing = true;
    const child = this.#child;
    try {
      const timeoutMs = this.#patienceMs(PROBE_TIMEOUT_MS);
      const silent = new Error(`libvirt did not answer a probe within ${timeoutMs} ms`);
      await this.#pending.add(
        {
          timeoutMs,
          toError: () => silent,
          onTimeout: () => silent,
          onLost: () => silent,
        },
        (id) =>
          this.#send({
            kind: 'call',
            id,
            operation: 'probe',
            values: [],
            uid: undefined,
            lane: 'fresh',
          }),
        new AbortController().signal,
      );
      this.#options.logger?.warn('A libvirt call hangs, but libvirt answers others');
    } catch (error) {
      if (child === this.#child && !this.#closed) this.#respawn(error as Error);
    } finally {
      this.#probing = false;
    }
  }

  #respawn(cause: Error): void {
    this.#drop(cause);
    if (this.#closed) return;
    const delayMs = RESPAWN_DELAYS_MS[this.#fruitlessSpawns] ?? RESPAWN_DELAYS_MS.at(-1);
    this.#fruitlessSpawns += 1;
    this.#options.logger?.warn({ err: cause }, 'The libvirt driver process is replaced');
    clearTimeout(this.#spawnTimer);
    this.#spawnTimer = setTimeout(() => this.#take(this.#launch()), delayMs);
  }

  /** Kills the process and fails everything that waits for it. */
  #drop(cause: Error): void {
    const child = this.#child;
    this.#child = undefined;
    clearTimeout(this.#connectTimer);
    child?.kill('SIGKILL');
    child?.unref();
    const wasConnected = this.#gate.current.state === 'connected';
    // A process that died with its connection up is replaced at once, so calls may wait for the new one.
    this.#setConnection(
      wasConnected && !this.#closed
        ? { state: 'starting' }
        : { state: 'unreachable', error: cause },
      cause,
    );
    this.#pending.loseAll(cause);
  }

  #setConnection(connection: ConnectionState, cause?: Error): void {
    this.#gate.set(connection);
    const isConnected = connection.state === 'connected';
    if (isConnected !== this.#announced) {
      this.#announced = isConnected;
      if (isConnected) this.#options.onConnected();
      else if (!this.#closed)
        this.#options.onDisconnected(this.#unreachable('reach libvirt', cause));
    }
  }

  async #waitForConnection(action: string, signal: AbortSignal): Promise<void> {
    await this.#gate.whileStarting(CALL_WAITS_FOR_CONNECTION_MS, signal);
    if (this.#gate.current.state !== 'connected') throw this.#unreachable(action);
  }

  #unreachable(action: string, cause?: Error): AgentError {
    const connection = this.#gate.current;
    const error = cause ?? (connection.state === 'unreachable' ? connection.error : undefined);
    return new AgentError(
      'HYPERVISOR_UNREACHABLE',
      `Cannot ${action}: there is no connection to ${this.#options.uri}${error ? ` (${error.message})` : ''}`,
      { cause: error },
    );
  }

  #send(message: ToDriver): void {
    // A process that is just dying fails its calls through its 'exit' event.
    this.#child?.send(message, () => {});
  }
}

function lostCall(
  action: string,
  lane: Lane,
  cause: Error,
  metadata: Readonly<Record<string, string>>,
): AgentError {
  const consequence =
    lane === 'long'
      ? 'libvirt goes on by itself and the outcome is unknown here'
      : 'it may or may not have happened';
  return new AgentError(
    'HYPERVISOR_UNREACHABLE',
    `Cannot ${action}: the connection to libvirt was lost before it answered; ${consequence}`,
    { cause, metadata },
  );
}
