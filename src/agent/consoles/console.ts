import type { Picture } from '../../drivers/hypervisor-consoles.ts';
import type { VmRef } from '../vms/vm.ts';

export type ConsoleMode = 'read' | 'write' | 'take-over';

export interface OpenConsoleOptions {
  readonly mode: ConsoleMode;
  /** So much of what was written before comes first, as far as it is kept. */
  readonly scrollbackBytes: number;
  /** The caller's identity, which others are told who want to type too. */
  readonly who: string;
}

export type ConsoleEvent =
  | { readonly kind: 'output'; readonly data: Uint8Array }
  /** So much was left out here, as its reader is slow. */
  | { readonly kind: 'left-out'; readonly bytes: number }
  | { readonly kind: 'taken-over'; readonly by: string };

/** A serial console as one caller has it. Dispose of it to let go. */
export interface OpenedConsole extends Disposable {
  readonly vm: Required<VmRef>;
  /** How many others have it open. */
  readonly others: number;
  /** Who types, if that is another. */
  readonly otherWriter: string | undefined;
  readonly isPaused: boolean;
  /** To be iterated once. Ends when the VM is off or no longer here; fails when the console is lost otherwise. */
  events(signal: AbortSignal): AsyncIterable<ConsoleEvent>;
  /** Returns once the guest's side has room again. What is typed after somebody has taken over is left out. */
  type(data: Uint8Array, signal: AbortSignal): Promise<void>;
}

/** A connection to the VNC server of a VM. Dispose of it to close it. */
export interface OpenedDisplay extends Disposable {
  readonly vm: Required<VmRef>;
  /** To be iterated once. Ends when the server hangs up, as when the VM stops. */
  read(signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Returns once there is room again. */
  write(data: Uint8Array, signal: AbortSignal): Promise<void>;
}

/** What is seen and typed at the VMs of this node. */
export interface ConsoleService {
  openConsole(ref: VmRef, options: OpenConsoleOptions, signal: AbortSignal): Promise<OpenedConsole>;
  openDisplay(ref: VmRef, signal: AbortSignal): Promise<OpenedDisplay>;
  takeScreenshot(ref: VmRef, signal: AbortSignal): Promise<Picture>;
  /** Codes of Linux' input-event-codes.h. */
  sendKeys(ref: VmRef, codes: readonly number[], signal: AbortSignal): Promise<void>;
}
