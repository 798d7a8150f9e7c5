/** What the host is; none of it changes while the agent runs, but that the system's name may be found out later. */
export interface HostFacts {
  /** Differs after every boot of the host. */
  readonly bootId: string;
  /** CPUs that are online. */
  readonly cpus: number;
  /** Their numbers, in order. */
  readonly cpuNumbers: readonly number[];
  readonly memoryBytes: number;
  /** Memory in huge pages by their size (`2Mi`, `1Gi`), in bytes, used or not; part of `memoryBytes`. */
  readonly hugepages: Readonly<Record<string, number>>;
  readonly hostname: string;
  /** Such as `Debian GNU/Linux 12 (bookworm)`; empty until it was read. */
  readonly operatingSystem: () => string;
  /** Such as `6.1.0-18-amd64`. */
  readonly kernelRelease: string;
}

/** The machine that the agent runs on. */
export interface Host {
  /** Reads the facts anew. */
  readFacts(signal: AbortSignal): Promise<HostFacts>;

  /** Finds out the system's name, for all facts that were read. Runs commands, so not while somebody waits for the agent. */
  readOperatingSystem(): Promise<void>;
}
