import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../../core/errors.ts';
import type { HostBridges } from '../host-bridges.ts';

/** The bridges of the network namespace that sysfs was mounted in, which must be that of libvirt. */
export class LinuxBridges implements HostBridges {
  readonly #folder: string;

  constructor(folder = '/sys/class/net') {
    this.#folder = folder;
  }

  async list(signal: AbortSignal): Promise<readonly string[]> {
    signal.throwIfAborted();
    const names = await this.#interfaces();
    const found = await Promise.all(
      names.map(async (name) => ((await this.#is(name)) ? name : [])),
    );
    signal.throwIfAborted();
    return found.flat().toSorted();
  }

  async #interfaces(): Promise<readonly string[]> {
    try {
      return await readdir(this.#folder);
    } catch (error) {
      // Unreadable is not absent.
      throw new AgentError(
        'HYPERVISOR_FAILURE',
        `Cannot look for the bridges of this host: ${this.#folder} cannot be read; mount sysfs there, for a container that of the host`,
        { cause: error },
      );
    }
  }

  /** Only bridges of the kernel's own have this folder. Interfaces come and go while they are looked at. */
  async #is(name: string): Promise<boolean> {
    const found = await stat(path.join(this.#folder, name, 'bridge')).catch(() => undefined);
    return found?.isDirectory() === true;
  }
}
