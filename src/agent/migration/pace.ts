/** How long migrations wait between looks and tries, in milliseconds. */
export interface Pace {
  /** Between two looks at what is going on. */
  readonly lookMs: number;
  /** Between two times that the destination is told how far it is. */
  readonly tellMs: number;
  /** Between two looks, at most, while an outcome is undecided. */
  readonly lookMaxMs: number;
  /** Before a migration that was interrupted is taken up again: at first, and at most. */
  readonly retryMs: number;
  readonly retryMaxMs: number;
  /** How long the hypervisor may take to stop a migration that it has not begun to copy. */
  readonly stopTimeoutMs: number;
  /** How long libvirt may take to drop a VM whose source has gone, before it is dropped for it. */
  readonly dropTimeoutMs: number;
  /** How long a transfer is kept for the source's last words after the VM has arrived. */
  readonly lastWordsMs: number;
}

export const PACE: Pace = {
  lookMs: 200,
  tellMs: 1_000,
  lookMaxMs: 2_000,
  retryMs: 500,
  retryMaxMs: 30_000,
  stopTimeoutMs: 3_000,
  dropTimeoutMs: 10_000,
  lastWordsMs: 30_000,
};
