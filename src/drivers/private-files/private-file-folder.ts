import { createHash } from 'node:crypto';
import { chmod, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../../core/errors.ts';
import { syncFolder } from '../../core/sync-folder.ts';
import type { PrivateFiles } from '../private-files.ts';
import { isMissing, privateFileError } from './errors.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const NAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const DIGEST = /^[0-9a-f]{64}$/;
const FOLDER_MODE = 0o700;
const FILE_MODE = 0o600;

/** Private files of VMs as `<state directory>/private/<uid of the VM>/<name>-<digest>`. */
export class PrivateFileFolder implements PrivateFiles {
  readonly #root: string;

  constructor(stateDirectory: string) {
    this.#root = path.join(stateDirectory, 'private');
  }

  async put(
    vmUid: string,
    name: string,
    content: Uint8Array,
    signal: AbortSignal,
  ): Promise<string> {
    signal.throwIfAborted();
    const digest = digestOf(content);
    const folder = this.#folder(vmUid);
    const file = path.join(folder, fileName(name, digest));
    await this.#attempt(async () => {
      await makeFolder(this.#root);
      await makeFolder(folder);
      await writeWhole(file, content);
    });
    return digest;
  }

  async find(
    vmUid: string,
    name: string,
    digest: string,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    signal.throwIfAborted();
    const file = path.join(this.#folder(vmUid), fileName(name, digest));
    const content = await this.#attempt(() => readFile(file).catch(unlessMissing));
    if (content === undefined || digestOf(content) === digest) return content;
    throw unreadable(vmUid, name, `${file} is damaged`);
  }

  async read(
    vmUid: string,
    name: string,
    digest: string,
    signal: AbortSignal,
  ): Promise<Uint8Array> {
    const content = await this.find(vmUid, name, digest, signal);
    if (content !== undefined) return content;
    const file = path.join(this.#folder(vmUid), fileName(name, digest));
    throw unreadable(vmUid, name, `${file} is missing`);
  }

  async keepOnly(
    vmUid: string,
    files: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void> {
    signal.throwIfAborted();
    const folder = this.#folder(vmUid);
    const kept = Object.entries(files).map(([name, digest]) => fileName(name, digest));
    await this.#attempt(async () => {
      for (const name of (await readdir(folder).catch(unlessMissing)) ?? []) {
        if (!kept.includes(name)) await rm(path.join(folder, name), { force: true });
      }
    });
  }

  async remove(vmUid: string, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const folder = this.#folder(vmUid);
    await this.#attempt(() => rm(folder, { recursive: true, force: true }));
  }

  async listVms(signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    const names = await this.#attempt(() => readdir(this.#root).catch(unlessMissing));
    return (names ?? []).filter((name) => UUID.test(name));
  }

  /** Fails with INVALID_REQUEST if it is no lower-case UUID. */
  #folder(vmUid: string): string {
    if (!UUID.test(vmUid)) {
      throw new AgentError('INVALID_REQUEST', `The uid ${vmUid} of a VM is no lower-case UUID`);
    }
    return path.join(this.#root, vmUid);
  }

  async #attempt<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw privateFileError(error, this.#root);
    }
  }
}

function unreadable(vmId: string, name: string, why: string): AgentError {
  return new AgentError(
    'JOURNAL_FAILURE',
    `Cannot read ${name} of the VM: ${why}; check the disk, then apply the VM's manifest with what is to be in it`,
    { metadata: { vmId } },
  );
}

function fileName(name: string, digest: string): string {
  if (!NAME.test(name) || !DIGEST.test(digest)) {
    throw new AgentError(
      'INVALID_REQUEST',
      `A VM cannot have a private file ${name} with digest ${digest}`,
    );
  }
  return `${name}-${digest}`;
}

function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}

async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: FOLDER_MODE });
  // Also one that was there, whoever has made it.
  await chmod(folder, FOLDER_MODE);
  await syncFolder(path.dirname(folder));
}

/** All of the file is on the disk under its name, or nothing of it is. */
async function writeWhole(file: string, content: Uint8Array): Promise<void> {
  const fresh = `${file}.new`;
  try {
    // One that a killed agent has left may be there, with whatever mode.
    await rm(fresh, { force: true });
    {
      await using handle = await open(fresh, 'wx', FILE_MODE);
      await handle.writeFile(content);
      await handle.sync();
    }
    await rename(fresh, file);
    // The new name is durable only with its folder (fsync(2)).
    await syncFolder(path.dirname(file));
  } catch (error) {
    await rm(fresh, { force: true });
    throw error;
  }
}

function unlessMissing(error: unknown): undefined {
  if (!isMissing(error)) throw error;
}
