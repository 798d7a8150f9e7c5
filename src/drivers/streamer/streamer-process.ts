import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, open, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from '../../core/logger.ts';
import type { TransferRequest } from '../transfers.ts';
import { isMissing, streamError } from './errors.ts';
import {
  findByArguments,
  identify,
  kill,
  type ProcessIdentity,
  waitUntilGone,
} from './process-identity.ts';
import { leaveAgentCgroup, removeCgroup } from './streamer-cgroup.ts';
import { type StreamerSettings, streamerConfig } from './streamer-config.ts';
import type { TransferFiles } from './transfer-files.ts';

// What a streamer needs to say goodbye to its peer.
const GRACE_MS = 2_000;
const KILL_TIMEOUT_MS = 5_000;
const EXIT_STATUS_TIMEOUT_MS = 200;

/** Starts and ends the processes of transfers. They belong to nobody: no agent's end is theirs. */
export class StreamerProcesses {
  readonly #binary: string;
  readonly #files: TransferFiles;
  readonly #settings: StreamerSettings;
  readonly #logger: Logger;
  readonly #children = new Map<string, ChildProcess>();
  #isolationReported = false;

  constructor(binary: string, files: TransferFiles, settings: StreamerSettings, logger: Logger) {
    this.#binary = binary;
    this.#files = files;
    this.#settings = settings;
    this.#logger = logger;
  }

  /** Makes the directory and starts the process in a session of its own. */
  async launch(request: TransferRequest): Promise<void> {
    const { id } = request;
    const directory = this.#files.directory(id);
    // QEMU, which is not root, reaches the services' sockets through it, but cannot list it.
    await mkdir(directory, { recursive: true, mode: 0o711 });
    for (const service of request.services) await this.#makeFolder(id, service);
    await writeFile(this.#files.config(id), streamerConfig(request, directory, this.#settings), {
      mode: 0o600,
    });
    await using log = await open(this.#files.log(id), 'a', 0o600);
    const child = spawn(this.#binary, ['--config', this.#files.config(id)], {
      cwd: '/',
      env: {},
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
    child.unref();
    this.#children.set(id, child);
    try {
      await once(child, 'spawn');
    } catch (error) {
      this.#children.delete(id);
      throw streamError(id, `Cannot run the streamer ${this.#binary}`, { cause: error });
    }
    if (child.pid !== undefined) await this.#isolate(child.pid, id);
  }

  /** The process of a transfer that has not (yet) told its pid itself. */
  async find(id: string): Promise<ProcessIdentity | undefined> {
    const child = this.#children.get(id);
    if (child?.pid !== undefined) {
      return child.exitCode === null && child.signalCode === null ? identify(child.pid) : undefined;
    }
    return findByArguments('--config', this.#files.config(id));
  }

  /** How the process ended, as far as that can be known: its exit status and the last line of its log. */
  async describeEnd(id: string): Promise<string> {
    const child = this.#children.get(id);
    if (child !== undefined) await exitOf(child);
    const how =
      child?.signalCode != null
        ? `was killed by ${child.signalCode}`
        : child?.exitCode != null
          ? `ended with status ${child.exitCode}`
          : 'is gone';
    const line = await this.#lastLogLine(id);
    return `The streamer ${how}${line === '' ? '' : `; its last words: ${line}`}`;
  }

  async end(id: string, process: ProcessIdentity): Promise<void> {
    await kill(process, 'SIGTERM');
    if (await waitUntilGone(process, GRACE_MS)) return;
    await this.kill(id, process);
  }

  async kill(id: string, process: ProcessIdentity): Promise<void> {
    await kill(process, 'SIGKILL');
    if (await waitUntilGone(process, KILL_TIMEOUT_MS)) return;
    throw streamError(id, `Cannot kill process ${process.pid} of transfer ${id}`);
  }

  /** Removes every trace of a transfer whose process is gone. */
  async clear(id: string): Promise<void> {
    await rm(this.#files.directory(id), { recursive: true, force: true });
    await removeCgroup(id);
    this.#children.delete(id);
  }

  /** A socket's folder, if the socket is one of the transfer's own. */
  async #makeFolder(id: string, service: TransferRequest['services'][number]): Promise<void> {
    const folder = path.dirname(this.#files.service(id, service.name));
    if (path.dirname(service.path) !== folder) return;
    await mkdir(folder, { recursive: true, mode: 0o700 });
    if (service.owner !== undefined) await chown(folder, service.owner.uid, service.owner.gid);
  }

  async #isolate(pid: number, id: string): Promise<void> {
    const obstacle = await leaveAgentCgroup(pid, id);
    if (obstacle === '' || this.#isolationReported) return;
    this.#isolationReported = true;
    this.#logger.warn(
      { migrationId: id, obstacle },
      'Transfers share a cgroup with the agent and end if its unit or pod is stopped',
    );
  }

  async #lastLogLine(id: string): Promise<string> {
    try {
      const log = await readFile(this.#files.log(id), 'utf8');
      return log.trimEnd().split('\n').at(-1)?.slice(0, 500) ?? '';
    } catch (error) {
      if (isMissing(error)) return '';
      throw error;
    }
  }
}

/** Waits for the exit status of a process that is known to be gone: it arrives a moment after the end. */
async function exitOf(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  await Promise.race([once(child, 'exit'), sleep(EXIT_STATUS_TIMEOUT_MS)]);
}
