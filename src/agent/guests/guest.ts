import type {
  AddressReport,
  GuestFacts,
  GuestPassword,
} from '../../drivers/hypervisor-guest-agent.ts';
import type { VmRef } from '../vms/vm.ts';
import type { Freeze } from './freeze-book.ts';

/** What the guest of a VM says of itself. */
export interface Guest {
  /** The VM that it is the guest of. */
  readonly vm: VmRef & { readonly uid: string };
  readonly isConnected: boolean;
  readonly facts: Required<GuestFacts>;
  /** One for each source. */
  readonly addresses: readonly AddressReport[];
  /** Undefined if this node has not frozen it. */
  readonly freeze: Freeze | undefined;
}

export interface GuestRun {
  readonly program: string;
  readonly args: readonly string[];
  readonly stdin: Uint8Array;
  /** How long the program is waited for; it goes on after that. */
  readonly timeoutMs: number;
  /** Of each of its outputs. */
  readonly captureBytes: number;
}

export interface GuestRunEnd {
  readonly pid: number;
  /** Undefined if a signal has ended it. */
  readonly exitCode: number | undefined;
  readonly signal: number | undefined;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  readonly isStdoutCut: boolean;
  readonly isStderrCut: boolean;
}

export interface FreezeRequest {
  readonly timeoutMs: number;
  readonly requestedBy: string;
}

/**
 * What is asked of the guests of this node's VMs. All but `get` fail with VM_NOT_RUNNING, VM_PAUSED, GUEST_AGENT_NOT_CONNECTED,
 * GUEST_AGENT_TIMEOUT, GUEST_AGENT_REFUSED and GUEST_ANSWER_INVALID.
 */
export interface GuestService {
  /** Fails for a VM that is off or paused; what the guest does not say has a problem of its own. */
  get(ref: VmRef, signal: AbortSignal): Promise<Guest>;
  /** Fails with GUEST_COMMAND_TIMED_OUT, naming the process, for a program that goes on. */
  run(ref: VmRef, run: GuestRun, signal: AbortSignal): Promise<GuestRunEnd>;
  setPassword(ref: VmRef, password: GuestPassword, signal: AbortSignal): Promise<void>;
  /** Repeating it sets the deadline anew. Fails with GUEST_FROZEN if somebody else has frozen it, VM_BUSY while it is migrated. */
  freeze(ref: VmRef, request: FreezeRequest, signal: AbortSignal): Promise<Freeze>;
  /** How many file systems were frozen. Fails with GUEST_FROZEN for what somebody else has frozen, unless it is forced. */
  thaw(ref: VmRef, options: { readonly isForced: boolean }, signal: AbortSignal): Promise<number>;
  syncTime(ref: VmRef, signal: AbortSignal): Promise<void>;
}
