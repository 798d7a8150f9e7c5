import type { Reason } from '../core/errors.ts';

/**
 * What the QEMU guest agent, a program inside of a guest, tells and does. The guest may lie, so everything is bounded here: texts are
 * of one line and at most 256 characters, lists have at most 256 entries. Calls about one VM wait for each other, and few guests are
 * asked at once; a guest that does not answer holds up its own callers alone. Fails with GUEST_AGENT_NOT_CONNECTED if no agent
 * listens, GUEST_AGENT_TIMEOUT if it does not answer (what was asked for may happen yet), GUEST_AGENT_REFUSED if it says no,
 * GUEST_ANSWER_INVALID if its answer makes no sense or has no end, VM_NOT_RUNNING for a VM that is off, VM_PAUSED for one
 * that stands still, and VM_BUSY if too many wait.
 */
export interface HypervisorGuestAgent {
  /** What the guest says of itself: each of these groups, or why it is missing. Fails only where nothing can be asked at all. */
  readFacts(
    uid: string,
    groups: readonly GuestFactGroup[],
    signal: AbortSignal,
  ): Promise<GuestFacts>;

  /** What of its CPUs, and with `asksMemory` of its memory, the guest uses. */
  readOnline(
    uid: string,
    options: { readonly asksMemory: boolean },
    signal: AbortSignal,
  ): Promise<GuestOnline>;

  /** Addresses of the VM's interfaces by each of these sources, or why it has none. Only `agent` asks the guest. */
  listAddresses(
    uid: string,
    sources: readonly AddressSource[],
    signal: AbortSignal,
  ): Promise<readonly AddressReport[]>;

  /** Holds all writes to the guest's file systems. How many there are; a guest that is frozen already fails with GUEST_AGENT_REFUSED. */
  freeze(uid: string, signal: AbortSignal): Promise<number>;

  /** Lets writes go on. How many file systems were frozen, 0 if none: that is fine. */
  thaw(uid: string, signal: AbortSignal): Promise<number>;

  /** Whether the guest agent holds file systems frozen, whoever has asked for it. */
  isFrozen(uid: string, signal: AbortSignal): Promise<boolean>;

  /** Gives a user of the guest another password. Fails with GUEST_AGENT_REFUSED if there is no such user. */
  setPassword(uid: string, password: GuestPassword, signal: AbortSignal): Promise<void>;

  /** Sets the guest's clock to this node's. */
  syncTime(uid: string, signal: AbortSignal): Promise<void>;

  /** Starts a program in the guest and gives its process id there. Its output, up to 16 MiB, waits in the guest. */
  startCommand(uid: string, command: GuestCommand, signal: AbortSignal): Promise<number>;

  /**
   * How a program has ended, with its output, which the guest then forgets; undefined while it goes on. Fails with
   * GUEST_AGENT_REFUSED for one that is not known, or no more.
   */
  findCommandEnd(
    uid: string,
    pid: number,
    signal: AbortSignal,
  ): Promise<GuestCommandEnd | undefined>;
}

/** Who says so: the guest, the DHCP server of a network of libvirt's, or this node's table of neighbours. */
export type AddressSource = 'agent' | 'lease' | 'arp';

/** Why something is not known of a guest. */
export interface GuestProblem {
  readonly reason: Reason;
  readonly message: string;
}

/** One of the two is there; both, where not all of it is. */
export interface GuestFact<T> {
  readonly value: T | undefined;
  readonly problem: GuestProblem | undefined;
}

export interface GuestFacts {
  readonly os?: GuestFact<GuestOs>;
  readonly hostname?: GuestFact<string>;
  readonly timeZone?: GuestFact<GuestTimeZone>;
  readonly users?: GuestFact<readonly GuestUser[]>;
  readonly fileSystems?: GuestFact<readonly GuestFileSystem[]>;
}

export type GuestFactGroup = keyof GuestFacts;

/** What a guest says that it uses of what it has been given. */
export interface GuestOnline {
  readonly cpus: { readonly seen: number; readonly online: number };
  /** In whole blocks of the guest's, which are 128 MiB or more; left out if it was not asked for. */
  readonly memory?: { readonly onlineBytes: number; readonly offlineBytes: number };
}

/** Empty where the guest does not say. */
export interface GuestOs {
  /** Such as `debian` or `mswindows`. */
  readonly id: string;
  readonly name: string;
  readonly prettyName: string;
  readonly version: string;
  readonly kernelRelease: string;
  readonly machine: string;
}

export interface GuestTimeZone {
  readonly name: string;
  /** East of UTC. */
  readonly offsetSeconds: number;
}

/** Somebody who is logged in. */
export interface GuestUser {
  readonly name: string;
  /** Of Windows; empty elsewhere. */
  readonly domain: string;
  /** Milliseconds since 1970; undefined where the guest does not say. */
  readonly loginAtMs: number | undefined;
}

export interface GuestFileSystem {
  readonly name: string;
  readonly mountPoint: string;
  readonly type: string;
  /** Undefined where the guest does not say. */
  readonly totalBytes: bigint | undefined;
  readonly usedBytes: bigint | undefined;
  /** Guest devices that it is on, such as `vda`, as the VM has them. */
  readonly disks: readonly string[];
}

export interface AddressReport extends GuestFact<readonly GuestInterface[]> {
  readonly source: AddressSource;
}

export interface GuestInterface {
  /** As the guest calls it for the source `agent`, else as the host does. */
  readonly name: string;
  /** Empty if it has none. */
  readonly macAddress: string;
  readonly addresses: readonly GuestAddress[];
}

interface GuestAddress {
  readonly address: string;
  readonly prefixLength: number;
}

export interface GuestPassword {
  readonly user: string;
  readonly password: string;
  /** It is a hash as the guest's system keeps it, and not the password itself. */
  readonly isCrypted: boolean;
}

export interface GuestCommand {
  readonly program: string;
  readonly args: readonly string[];
  /** What it reads from its standard input. */
  readonly stdin: Uint8Array;
}

export interface GuestCommandEnd {
  /** Undefined if a signal has ended it. */
  readonly exitCode: number | undefined;
  readonly signal: number | undefined;
  readonly stdout: Uint8Array;
  readonly stderr: Uint8Array;
  /** The guest agent has left out the rest. */
  readonly isStdoutCut: boolean;
  readonly isStderrCut: boolean;
}
