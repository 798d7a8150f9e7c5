import type { Duplex } from 'node:stream';

/** The serial console and the screen of VMs. */
export interface HypervisorConsoles {
  /**
   * The first serial console of a VM that runs, both ways, from now on. One at a time has it: fails with CONSOLE_IN_USE if
   * another program does, unless `takeOver` ends that one's. Fails with VM_NOT_RUNNING for a VM that is off and CONSOLE_NOT_FOUND for one that has none.
   *
   * The stream ends when the VM stops, when somebody else takes it over and when the hypervisor is lost, and does not say which.
   * Destroying it lets go of the console. Of output that nobody fetches 256 KiB are kept; a line tells how much was left out.
   */
  openSerial(uid: string, options: OpenSerialOptions, signal: AbortSignal): Promise<Duplex>;

  /**
   * The screen of a VM that runs, as a connection to its VNC server (RFC 6143); many may have one. Nothing is left out: the
   * server waits. Fails with VM_NOT_RUNNING for a VM that is off and DISPLAY_NOT_FOUND for one that has none.
   */
  openDisplay(uid: string, signal: AbortSignal): Promise<Duplex>;

  /** What is on the first screen of a VM that runs. Fails as `openDisplay` does. */
  takeScreenshot(uid: string, signal: AbortSignal): Promise<Picture>;

  /**
   * Presses keys at the same time, and lets go of them a tenth of a second later. `codes` are those of Linux'
   * input-event-codes.h, 1 to 16 of them. Fails with VM_NOT_RUNNING for a VM that is off.
   */
  sendKeys(uid: string, codes: readonly number[], signal: AbortSignal): Promise<void>;
}

export interface OpenSerialOptions {
  readonly takeOver: boolean;
}

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** All of it, as PNG. */
  readonly png: Uint8Array;
}
