import { readdir, readFile, stat } from 'node:fs/promises';
import type { Logger } from '../../core/logger.ts';
import * as z from '../../core/zod.ts';
import type { TransferDriver, TransferRequest, TransferStatus } from '../transfers.ts';
import { DirectoryChanges } from './directory-changes.ts';
import { isMissing, streamError } from './errors.ts';
import { isAlive, type ProcessIdentity } from './process-identity.ts';
import type { StreamerSettings } from './streamer-config.ts';
import { type ControlCall, callStreamer } from './streamer-control.ts';
import { StreamerProcesses } from './streamer-process.ts';
import {
  decodeReport,
  hasEnded,
  parseReport,
  type StreamerReport,
  silentStatus,
} from './streamer-status.ts';
import { TransferFiles } from './transfer-files.ts';

export interface StreamerTransfersOptions extends StreamerSettings {
  /** Path of novacron-streamer. */
  readonly binary: string;
  readonly runDirectory: string;
  readonly logger: Logger;
}

/** What is known of a transfer; `process` is set while its process lives. */
interface Sighting {
  readonly status: TransferStatus;
  readonly process: ProcessIdentity | undefined;
  /** Its process has never written a status and is not there. */
  readonly unborn: boolean;
}

const UNDO_TIMEOUT_MS = 10_000;
const CONTROL_TIMEOUT_MS = 2_000;
// A streamer that hangs must not make a list wait; its status file says nearly the same.
const STATUS_TIMEOUT_MS = 500;
const STOP_TIMEOUT_MS = 10_000;
// A status is read when its file changes; this only finds a process that died without a word.
const LIVENESS_INTERVAL_MS = 100;

const roleSchema = z.object({ role: z.enum(['source', 'destination']) });

/**
 * Transfers by `novacron-streamer`, a process each, found again through the status file in its directory.
 * An ended transfer keeps its id until it is removed.
 */
export class StreamerTransfers implements TransferDriver {
  readonly #files: TransferFiles;
  readonly #processes: StreamerProcesses;
  /** Launches and removals, one after the other for each id. */
  readonly #queues = new Map<string, Promise<void>>();

  /** Fails with INVALID_CONFIG if sockets below the run directory would have too long a path. */
  constructor(options: StreamerTransfersOptions) {
    this.#files = new TransferFiles(options.runDirectory);
    this.#processes = new StreamerProcesses(options.binary, this.#files, options, options.logger);
  }

  async start(request: TransferRequest, signal: AbortSignal): Promise<TransferStatus> {
    const { id } = request;
    for (const service of request.services) this.#files.service(id, service.name);
    await using undo = new AsyncDisposableStack();
    await this.#inOrder(id, async () => {
      signal.throwIfAborted();
      const known = await this.#look(id);
      if (known !== undefined && !known.unborn) return;
      // An agent that was killed here has left a directory without a process.
      await this.#processes.clear(id);
      undo.defer(() => this.remove(id, AbortSignal.timeout(UNDO_TIMEOUT_MS)));
      await this.#processes.launch(request);
    });
    const { status } = await this.#until(id, isReady, signal);
    if (status.state === 'failed' || status.state === 'lost') {
      throw streamError(id, `Transfer ${id} failed: ${status.failureMessage}`, {
        code: status.failureCode,
      });
    }
    undo.move();
    return status;
  }

  async find(id: string, signal: AbortSignal): Promise<TransferStatus | undefined> {
    const seen = await this.#look(id);
    if (seen?.process === undefined || hasEnded(seen.status.state)) return seen?.status;
    try {
      const answer = await this.#call(id, { method: 'status' }, signal, STATUS_TIMEOUT_MS);
      const fresh = decodeReport(answer, id);
      return fresh?.status ?? seen.status;
    } catch {
      signal.throwIfAborted();
      // It is about to start or to end, or hangs; what it last wrote is at most a second old if it does not.
      return (await this.#look(id))?.status;
    }
  }

  async list(signal: AbortSignal): Promise<readonly TransferStatus[]> {
    const names = await readdir(this.#files.root).catch((error: unknown) => {
      if (isMissing(error)) return [];
      throw error;
    });
    const ids = names.filter((name) => this.#files.isId(name)).toSorted();
    const found = await Promise.all(ids.map((id) => this.find(id, signal)));
    return found.filter((status) => status !== undefined);
  }

  async setBandwidth(id: string, bytesPerSecond: number, signal: AbortSignal): Promise<void> {
    const seen = await this.#look(id);
    // One that has written its end may still answer for a moment.
    if (seen !== undefined && hasEnded(seen.status.state)) {
      throw streamError(id, `Cannot change the bandwidth of transfer ${id}: it has ended`);
    }
    await this.#call(id, { method: 'setBandwidth', params: { bytesPerSecond } }, signal);
  }

  async stop(id: string, signal: AbortSignal): Promise<void> {
    if (!(await this.#runs(id))) return;
    try {
      await this.#call(id, { method: 'stop' }, signal);
    } catch (error) {
      if (await this.#runs(id)) throw error;
    }
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(STOP_TIMEOUT_MS)]);
    try {
      await this.#until(id, ({ status }) => hasEnded(status.state), bounded);
    } catch (error) {
      signal.throwIfAborted();
      if (!bounded.aborted) throw error;
      throw streamError(id, `Transfer ${id} has not stopped within ${STOP_TIMEOUT_MS} ms`);
    }
  }

  async abort(id: string, reason: string, signal: AbortSignal): Promise<void> {
    const seen = await this.#look(id);
    if (seen?.process === undefined || hasEnded(seen.status.state)) return;
    try {
      await this.#call(id, { method: 'abort', params: { reason } }, signal);
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(CONTROL_TIMEOUT_MS)]);
      await this.#until(id, ({ status }) => hasEnded(status.state), bounded);
    } catch {
      signal.throwIfAborted();
      // Whatever keeps it from obeying, the kernel closes its connections.
      await this.#processes.kill(id, seen.process);
    }
  }

  async remove(id: string, signal: AbortSignal): Promise<void> {
    await this.#inOrder(id, async () => {
      signal.throwIfAborted();
      const seen = await this.#look(id);
      const process = seen?.process ?? (seen && (await this.#processes.find(id)));
      if (process !== undefined) await this.#processes.end(id, process);
      await this.#processes.clear(id);
    });
  }

  socketPath(id: string, service: string): string {
    return this.#files.service(id, service);
  }

  #call(
    id: string,
    call: Omit<ControlCall, 'timeoutMs'>,
    signal: AbortSignal,
    timeoutMs = CONTROL_TIMEOUT_MS,
  ): Promise<unknown> {
    const target = { id, socket: this.#files.control(id) };
    return callStreamer(target, { ...call, timeoutMs }, signal);
  }

  async #runs(id: string): Promise<boolean> {
    const seen = await this.#look(id);
    return seen?.process !== undefined && !hasEnded(seen.status.state);
  }

  /** Looks at a transfer's files and process; undefined if it has no directory. */
  async #look(id: string): Promise<Sighting | undefined> {
    const text = await readText(this.#files.status(id));
    const report = text === undefined ? undefined : parseReport(text, id);
    if (report !== undefined) return this.#judge(id, report);
    if (!(await exists(this.#files.directory(id)))) return undefined;
    const process = await this.#processes.find(id);
    const born = text !== undefined || process !== undefined;
    const role = roleSchema.safeParse(parseJson(await readText(this.#files.config(id))));
    const starting = born ? text === undefined : this.#queues.has(id);
    const end = starting
      ? { state: 'starting' as const, failureCode: '', failureMessage: '' }
      : await this.#lost(id);
    const status = silentStatus(id, role.data?.role ?? 'source', end);
    return { status, process, unborn: !born };
  }

  async #judge(id: string, report: StreamerReport): Promise<Sighting> {
    if (await isAlive(report.process)) return { ...report, unborn: false };
    // It may have written its end after its status was read and before it was looked for.
    const text = await readText(this.#files.status(id));
    const last = (text === undefined ? undefined : parseReport(text, id)) ?? report;
    const status = hasEnded(last.status.state)
      ? last.status
      : { ...last.status, ...(await this.#lost(id)) };
    return { status, process: undefined, unborn: false };
  }

  async #lost(
    id: string,
  ): Promise<Pick<TransferStatus, 'state' | 'failureCode' | 'failureMessage'>> {
    const failureMessage = await this.#processes.describeEnd(id);
    return { state: 'lost', failureCode: 'PROCESS_LOST', failureMessage };
  }

  async #until(
    id: string,
    done: (seen: Sighting) => boolean,
    signal: AbortSignal,
  ): Promise<Sighting> {
    if (!(await exists(this.#files.directory(id)))) throw removed(id);
    using changes = new DirectoryChanges(this.#files.directory(id));
    for (;;) {
      const seen = await this.#look(id);
      if (seen === undefined) throw removed(id);
      if (done(seen)) return seen;
      await changes.next(LIVENESS_INTERVAL_MS, signal);
    }
  }

  async #inOrder(id: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#queues.get(id) ?? Promise.resolve()).then(work);
    const settled = turn.catch(() => {});
    this.#queues.set(id, settled);
    try {
      await turn;
    } finally {
      if (this.#queues.get(id) === settled) this.#queues.delete(id);
    }
  }
}

function isReady({ status, process }: Sighting): boolean {
  if (hasEnded(status.state)) return true;
  if (process === undefined) return false;
  return ['listening', 'connected', 'reconnecting'].includes(status.state);
}

function removed(id: string): Error {
  return streamError(id, `Transfer ${id} has been removed`);
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? 'null');
  } catch {
    return undefined;
  }
}

async function readText(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function exists(file: string): Promise<boolean> {
  try {
    await stat(file);
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
