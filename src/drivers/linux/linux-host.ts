import { readFile } from 'node:fs/promises';
import path from 'node:path';
import systeminformation from 'systeminformation';
import { AgentError } from '../../core/errors.ts';
import type { Host, HostFacts } from '../host.ts';

/** A Linux host, from /proc; only the name of its distribution comes from `systeminformation`, which runs commands. */
export class LinuxHost implements Host {
  readonly #proc: string;
  readonly #describe: () => Promise<string>;

  constructor(options: { readonly proc?: string; readonly describe?: () => Promise<string> } = {}) {
    this.#proc = options.proc ?? '/proc';
    this.#describe = options.describe ?? describeDistribution;
  }

  async readFacts(signal: AbortSignal): Promise<HostFacts> {
    signal.throwIfAborted();
    const [bootId, hostname, kernelRelease, stat, meminfo, operatingSystem] = await Promise.all([
      this.#read('sys/kernel/random/boot_id'),
      this.#read('sys/kernel/hostname'),
      this.#read('sys/kernel/osrelease'),
      this.#read('stat'),
      this.#read('meminfo'),
      this.#describe(),
    ]);
    signal.throwIfAborted();
    const cpus = stat.match(/^cpu\d+ /gm)?.length ?? 0;
    const memoryKib = Number(/^MemTotal:\s+(\d+) kB$/m.exec(meminfo)?.[1] ?? 0);
    if (cpus === 0 || memoryKib === 0) {
      throw new AgentError(
        'HYPERVISOR_FAILURE',
        `Cannot read the CPUs and the memory of this host from ${this.#proc}`,
      );
    }
    return {
      bootId,
      cpus,
      memoryBytes: memoryKib * 1024,
      hostname,
      operatingSystem,
      kernelRelease,
    };
  }

  async #read(file: string): Promise<string> {
    return (await readFile(path.join(this.#proc, file), 'utf8')).trim();
  }
}

async function describeDistribution(): Promise<string> {
  const { distro, release, codename } = await systeminformation.osInfo();
  return [distro, release, codename && `(${codename})`].filter(Boolean).join(' ');
}
