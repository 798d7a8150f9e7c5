/** What the host is; none of it changes while the agent runs. */
export interface HostFacts {
  /** Differs after every boot of the host. */
  readonly bootId: string;
  /** CPUs that are online. */
  readonly cpus: number;
  readonly memoryBytes: number;
  /** Memory in huge pages by their size (`2Mi`, `1Gi`), in bytes, used or not; part of `memoryBytes`. */
  readonly hugepages: Readonly<Record<string, number>>;
  readonly hostname: string;
  /** Such as `Debian GNU/Linux 12 (bookworm)`. */
  readonly operatingSystem: string;
  /** Such as `6.1.0-18-amd64`. */
  readonly kernelRelease: string;
}

/** The machine that the agent runs on. */
export interface Host {
  /** Reads the facts anew. May take long the first time; read them once, at start. */
  readFacts(signal: AbortSignal): Promise<HostFacts>;
}
