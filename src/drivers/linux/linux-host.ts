import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { AgentError } from '../../core/errors.ts';
import { siblingModule } from '../../core/sibling-module.ts';
import type { Host, HostFacts } from '../host.ts';

export interface LinuxHostOptions {
  readonly proc?: string;
  readonly hugepages?: string;
  readonly describe?: () => Promise<string>;
}

type Describes = typeof import('./distribution.ts');

const HUGE_PAGE_KIB = [
  ['2Mi', 2048],
  ['1Gi', 1024 ** 2],
] as const;

/** A Linux host, from /proc; only the name of its distribution comes from `systeminformation`, which runs commands. */
export class LinuxHost implements Host {
  readonly #proc: string;
  readonly #hugepages: string;
  readonly #describe: () => Promise<string>;
  #operatingSystem = '';

  constructor(options: LinuxHostOptions = {}) {
    this.#proc = options.proc ?? '/proc';
    this.#hugepages = options.hugepages ?? '/sys/kernel/mm/hugepages';
    this.#describe = options.describe ?? describeDistribution;
  }

  async readFacts(signal: AbortSignal): Promise<HostFacts> {
    signal.throwIfAborted();
    const [bootId, hostname, kernelRelease, stat, meminfo, hugepages] = await Promise.all([
      this.#read('sys/kernel/random/boot_id'),
      this.#read('sys/kernel/hostname'),
      this.#read('sys/kernel/osrelease'),
      this.#read('stat'),
      this.#read('meminfo'),
      this.#readHugepages(),
    ]);
    signal.throwIfAborted();
    const cpuNumbers = Array.from(stat.matchAll(/^cpu(\d+) /gm), ([, number]) => Number(number));
    const cpus = cpuNumbers.length;
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
      cpuNumbers,
      memoryBytes: memoryKib * 1024,
      hugepages,
      hostname,
      operatingSystem: () => this.#operatingSystem,
      kernelRelease,
    };
  }

  async readOperatingSystem(): Promise<void> {
    this.#operatingSystem = await this.#describe();
  }

  async #readHugepages(): Promise<Record<string, number>> {
    const found: Record<string, number> = {};
    for (const [size, kib] of HUGE_PAGE_KIB) {
      const file = path.join(this.#hugepages, `hugepages-${kib}kB/nr_hugepages`);
      // Not every processor has both sizes, nor every kernel any.
      const count = Number(await readFile(file, 'utf8').catch(() => '0'));
      if (count > 0) found[size] = count * kib * 1024;
    }
    return found;
  }

  async #read(file: string): Promise<string> {
    return (await readFile(path.join(this.#proc, file), 'utf8')).trim();
  }
}

/** By a package of half a megabyte, which is loaded once the agent is at work. */
async function describeDistribution(): Promise<string> {
  const load = createRequire(import.meta.url);
  const module = load(fileURLToPath(siblingModule(import.meta.url, 'distribution'))) as Describes;
  return module.describeDistribution();
}
