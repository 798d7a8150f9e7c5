import type { VmDefinition } from '../core/vm-definition.ts';
import type { Accelerator } from './hypervisor-host.ts';

/** The hypervisor's side of VMs: what is defined, what runs, and the verbs for it. */
export interface HypervisorDomains {
  /**
   * All VMs of this node, ours and others', as they are now. A VM that is busy comes with what was known of it rather
   * than making the call wait; if nothing was, it comes unread, and a later listing has the rest.
   */
  list(signal: AbortSignal): Promise<readonly HypervisorVm[]>;

  /** Grows with whatever is told of a VM or of all of them, be it no event, and with `expire`: a listing from before may be outdated. */
  readonly told: number;

  /** Has the next listing read this VM anew, whether or not an event has told that it was changed. One that is not there is fine. */
  expire(uid: string): void;

  /** One VM, read anew, or undefined if there is none with this uid. Fails rather than have it unread. */
  find(uid: string, signal: AbortSignal): Promise<HypervisorVm | undefined>;

  /**
   * Makes the VM known, stopped, or changes the one with this uid: what the definition does not speak of stays. A
   * running VM takes the change over at its next start; see `HypervisorVm.liveDefinition`. Fails with
   * VM_ALREADY_EXISTS if another VM has the name, and with VM_SPEC_NEWER for a change to or from a definition of a newer
   * agent: what this one does not know would be lost.
   */
  define(definition: VmDefinition, signal: AbortSignal): Promise<void>;

  /**
   * What the VM's next start takes, whoever has changed it, in words for `defineAgain` of this hypervisor alone; undefined if
   * there is no VM with this uid. It may hold secrets.
   */
  readBlueprint(uid: string, signal: AbortSignal): Promise<string | undefined>;

  /**
   * Makes a VM known again, stopped, that has gone from here, as it was when its blueprint was read: what somebody else had
   * changed of it is changed then as well. Repeating it is fine. Fails with VM_ALREADY_EXISTS if another VM has the name.
   */
  defineAgain(uid: string, blueprint: string, signal: AbortSignal): Promise<void>;

  /**
   * Changes what the agent itself keeps with the VM, at once, and nothing else: the manifest stays byte for byte. Fails
   * with VM_NOT_FOUND if there is no VM of an agent with this uid.
   */
  setFacts(uid: string, facts: Partial<VmFacts>, signal: AbortSignal): Promise<void>;

  /** What a VM that no agent has made is, read anew; undefined if there is none with this uid. Fails with HYPERVISOR_FAILURE if it cannot be read. */
  findAdoptable(uid: string, signal: AbortSignal): Promise<AdoptableVm | undefined>;

  /**
   * Makes a VM that somebody else has made one of an agent, with a definition whose machine is what `findAdoptable` has read: it
   * carries that from then on, all else of it stays, and if it runs it runs on. From then on the hypervisor starts it by itself no
   * more. Repeating it is fine. Fails with VM_BUSY if the VM is not as the definition says any more.
   */
  adopt(definition: VmDefinition, signal: AbortSignal): Promise<void>;

  /**
   * Has the VM be as the definition says, of which only what is in the drive of this volume is new, and exchanges that at once if
   * the VM is on. Fails with DEVICE_IN_USE if the guest holds the drive shut, unless it is forced.
   */
  changeMedium(
    definition: VmDefinition,
    volumeName: string,
    options: { readonly isForced: boolean },
    signal: AbortSignal,
  ): Promise<void>;

  /**
   * Takes out what a guest has ejected, now and for later starts: the definition says that it is `ejected`. Of what the next start
   * takes only this drive is changed, and not even that where it has another medium by then. Nothing is changed, and the answer is
   * false, where the drive is not open with that medium in it: it was shut or emptied meanwhile. Repeating it is fine.
   */
  keepEjected(definition: VmDefinition, volumeName: string, signal: AbortSignal): Promise<boolean>;

  /**
   * When a change of this field, named as the manifest writes it, is in force for a VM that runs. Without its values, or what the VM may
   * have while it runs, the worst is told.
   */
  effectOf(field: string, change?: FieldValues, sizes?: LiveSizes): ChangeEffect;

  /**
   * Starts a defined VM, and notes with its run when that was. A running one counts as started; one that is still being started
   * fails with VM_BUSY.
   */
  start(uid: string, signal: AbortSignal): Promise<void>;

  /** Asks the guest to power off (ACPI) and returns at once. A stopped VM counts as done. */
  shutdown(uid: string, signal: AbortSignal): Promise<void>;

  /** Cuts the VM's power. A stopped VM counts as done. */
  destroy(uid: string, signal: AbortSignal): Promise<void>;

  /** Stops the VM's CPUs. A suspended VM counts as done; a stopped one fails with VM_NOT_RUNNING. */
  suspend(uid: string, signal: AbortSignal): Promise<void>;

  /** Lets the VM's CPUs run on, waking a guest that is asleep. A running VM counts as done; a stopped one fails with VM_NOT_RUNNING. */
  resume(uid: string, signal: AbortSignal): Promise<void>;

  /** Resets the VM's hardware; a paused one stays paused. A stopped one fails with VM_NOT_RUNNING. */
  reset(uid: string, signal: AbortSignal): Promise<void>;

  /**
   * Asks the guest to reboot (ACPI) and returns at once; the event `rebooted` says that it has. One that is paused or stopped
   * fails with VM_NOT_RUNNING.
   */
  reboot(uid: string, signal: AbortSignal): Promise<void>;

  /**
   * Forgets a stopped VM, with its variables of UEFI, its disk for cloud-init, its console log and the keys of its disks. One that is
   * already gone counts as done; a running one fails with VM_RUNNING.
   */
  undefine(uid: string, signal: AbortSignal): Promise<void>;

  /**
   * Keeps the image of the disk that cloud-init in a VM's guest reads, in the place of the one before: a VM that has one (see
   * `hasSeed`) does not start without. One that is on keeps what it was started with. Repeating it is fine. Fails with STORAGE_FULL.
   */
  putSeed(uid: string, image: Uint8Array, signal: AbortSignal): Promise<void>;

  /** Whether this node has that image. */
  hasSeed(uid: string, signal: AbortSignal): Promise<boolean>;

  /**
   * Keeps the keys of a VM's encrypted disks, by volume, until the hypervisor itself begins anew: a VM neither starts nor arrives where
   * they are not. One that is on keeps what it was started with. Repeating it is fine, and others take the place of those that are there.
   * Fails with FEATURE_NOT_SUPPORTED where the hypervisor has no place for them.
   */
  putDiskKeys(
    uid: string,
    keys: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): Promise<void>;

  /**
   * The uids of the VMs of which this node has variables of UEFI, a disk for cloud-init, a console log or keys of disks, whether the VMs
   * are here or not.
   */
  listFiles(signal: AbortSignal): Promise<readonly string[]>;

  /**
   * Removes the variables of UEFI, the disk for cloud-init, the console log and the keys of disks that a VM has left here. None are fine. Must not be called for a VM that is
   * here or on its way here: its guest would find no variables at its next start.
   */
  removeFiles(uid: string, signal: AbortSignal): Promise<void>;
}

/**
 * When a change is in force: at once; while the VM runs, as soon as `HypervisorDevices.changeLive` has done it and the guest has taken
 * it; only at the next start.
 */
export type ChangeEffect = 'now' | 'live' | 'next-start';

/** What a field changes from and to; undefined where it is not set. */
export interface FieldValues {
  readonly before: unknown;
  readonly after: unknown;
}

/** How many CPUs and how much memory a VM that is on has been given, and what it may have without a restart. */
export interface LiveSizes {
  readonly vcpus: { readonly given: number; readonly least: number; readonly most: number };
  /** The guest may have taken less of what is given, or given some back; see `VmStatistics.memoryActualBytes`. */
  readonly memory: {
    readonly givenBytes: number;
    readonly leastBytes: number;
    readonly mostBytes: number;
  };
}

/** What the agent keeps with a VM beside its manifest. */
export type VmFacts = Pick<VmDefinition, 'ownershipEpoch' | 'owner' | 'intent' | 'ejected'>;

/** What the hypervisor says a VM is doing. A VM that is not there is not listed: absent means absent. */
export type VmRunState =
  | 'running'
  | 'paused'
  | 'shutting-down'
  | 'stopped'
  | 'crashed'
  | 'incoming'
  | 'unknown';

/** Why a VM is in its state. `unknown`: the hypervisor does not say, or says what this agent does not know. */
export type VmStateReason =
  | 'unknown'
  // It runs, because it
  | 'booted'
  | 'restored'
  | 'resumed'
  | 'migration-cancelled'
  | 'save-cancelled'
  | 'woken'
  // It is paused by or for
  | 'user'
  | 'migration'
  | 'saving'
  | 'dumping'
  | 'io-error'
  // The same, and its storage is full
  | 'no-space'
  | 'watchdog'
  | 'shutting-down'
  | 'snapshotting'
  | 'starting-up'
  | 'api-error'
  | 'guest-asleep'
  // It is off, because it was
  | 'shutdown'
  | 'destroyed'
  | 'saved'
  | 'failed'
  | 'daemon-restarted'
  // In more than one state: it was moved; its memory is still being fetched from its source, or could not be
  | 'migrated'
  | 'postcopy'
  | 'postcopy-failed'
  | 'from-snapshot'
  | 'crashed';

/** Whether something runs it, if only to receive its memory. */
export function isOn({ state }: Pick<HypervisorVm, 'state'>): boolean {
  return state !== 'stopped' && state !== 'crashed';
}

/**
 * Whether the guest's memory is on two nodes: it runs at the destination of a post-copy migration while pages of it are
 * at the source only. Either copy is worth nothing without the other, so neither may be destroyed.
 */
export function isSplit({ stateReason }: Pick<HypervisorVm, 'stateReason'>): boolean {
  return stateReason === 'postcopy' || stateReason === 'postcopy-failed';
}

/** The hypervisor's own name for a VM that an agent has made. */
export function hypervisorNameOf({
  namespace,
  name,
}: Pick<VmDefinition, 'namespace' | 'name'>): string {
  return `${namespace}_${name}`;
}

/** What of a VM somebody else may have changed. */
export type DriftedPart =
  | 'memory'
  | 'cpu'
  | 'boot'
  | 'tpm'
  | 'clock'
  | 'volumes'
  | 'iothreads'
  // The disk for it
  | 'cloud-init'
  | 'networks'
  | 'display'
  | 'watchdog'
  | 'vsock'
  | 'smbios'
  | 'hyperv'
  // It vanishes once it stops
  | 'persistence';

/** A VM that no agent has made, as a manifest would say it. */
export interface AdoptableVm {
  /** `spec.template.spec` of its manifest, not yet checked. */
  readonly machine: unknown;
  /** What no manifest can say and stays as it is, each in a few words. */
  readonly kept: readonly string[];
  /** It is a guest of another architecture than manifests speak of. */
  readonly isOther: boolean;
  /** The hypervisor starts it when the host has booted. */
  readonly isAutostarted: boolean;
  /** Its memory is saved to a file, and its next start goes on from there. */
  readonly isSaved: boolean;
  /** Something is being done to it, such as a migration or a backup. */
  readonly isBusy: boolean;
}

export interface HypervisorVm {
  readonly uid: string;
  /** The hypervisor's own name for it. */
  readonly hypervisorName: string;
  readonly state: VmRunState;
  readonly stateReason: VmStateReason;
  /** False for a VM that vanishes once it stops. */
  readonly persistent: boolean;
  /**
   * False for a VM that could not be read yet. Only what stands above is known of it then, and what stands below is
   * empty: whether it is ours is not known. Never take it for somebody else's, nor for gone.
   */
  readonly isRead: boolean;
  /** As it is wanted, in force at the next start; undefined when it was not made by an agent (or its metadata cannot be read). */
  readonly definition: VmDefinition | undefined;
  /**
   * What the next start would give it that is not as `definition` says: somebody else has changed it. Empty for a VM
   * that is not ours or not all understood.
   */
  readonly drift: readonly DriftedPart[];
  /** What of one that was adopted no manifest can say, each in a few words. Left out where there is nothing. */
  readonly kept?: readonly string[] | undefined;
  /** Names of disks that one that was adopted has beside its volumes, at its next start too. Left out where there are none. */
  readonly keptDisks?: readonly string[] | undefined;
  /** What it has of this host and cannot move with it, for people. Left out where there is nothing. */
  readonly boundDevices?: readonly string[] | undefined;
  /** What its guest was asked to let go of and has, as `volumes/data`: it is not part of what runs, even if it is wanted again. Left out where there is nothing. */
  readonly letGo?: readonly string[] | undefined;
  /** As it was when the running VM started, with what was changed of it since, where that differs from what is wanted; undefined otherwise. */
  readonly liveDefinition: VmDefinition | undefined;
  /**
   * When its run began, on whichever node, in milliseconds since 1970 by that node's clock; undefined if it is off, was started by
   * other means than `start`, or that is not known.
   */
  readonly runningSinceMs?: number | undefined;
  readonly accelerator: Accelerator;
  /** The machine type it really has, such as `pc-q35-7.2`; empty if unknown. */
  readonly machineType: string;
  /** What it has at most, whatever its definition asks for. */
  readonly vcpus: number;
  /** Its CPU as it runs, in words for another node's hypervisor alone; empty if it is off or has that of this host. */
  readonly cpu: string;
  readonly memoryBytes: number;
  /** Size of the huge pages that its memory is made of; undefined if it is not. */
  readonly hugepages: '2Mi' | '1Gi' | undefined;
  /** Left out of one that is off. */
  readonly sizes?: LiveSizes | undefined;
  /** Why some of its memory would be lost in a live migration; left out where none would. */
  readonly lossyMemory?: 'hugepages' | 'growth' | undefined;
  /** Disks and CD-ROMs as they are now. */
  readonly volumes: readonly HypervisorVolume[];
  /** What these disks are made of now, whatever its definition says. */
  readonly disks: readonly HypervisorDisk[];
  /** Its network interfaces as they are now. */
  readonly interfaces: readonly HypervisorInterface[];
  /** File that the guest's first serial console is logged to; undefined if there is none. */
  readonly consoleLogPath: string | undefined;
  /** Whether a guest agent listens in the guest; undefined if there is no channel for one. */
  readonly guestAgent?: 'connected' | 'disconnected' | undefined;
}

interface HypervisorVolume {
  /** Of the volume that it was made for; for another maker's disk its guest device. */
  readonly name: string;
  /** Guest device such as `vda`. */
  readonly target: string;
  /** On this node; undefined for a drive without a medium and for storage that is no file or block device. */
  readonly path: string | undefined;
  readonly format: string;
  /** Of a drive that its guest, or somebody, has opened: what is in it cannot be read until it is shut. Left out where it is shut. */
  readonly isOpen?: boolean;
}

/** A network interface as the hypervisor has it. */
export interface HypervisorInterface {
  /** Of the network that it was made for; for another maker's the name of what it is connected to, which may be empty. */
  readonly name: string;
  /** In lower case. */
  readonly mac: string;
  /** Of this node, and the kernel's own; undefined for one that is connected in another way. */
  readonly bridge: string | undefined;
  /** In the hypervisor's words, such as `virtio`. */
  readonly model: string;
  /** The host's end of it, such as `vnet0`; undefined while the VM is off. */
  readonly hostDevice: string | undefined;
  /** Whether its guest sees a link. Left out where nobody has said: it does. */
  readonly link?: 'up' | 'down';
}

/** A disk or CD-ROM as the hypervisor has it open. */
export interface HypervisorDisk {
  /** Of the volume that it was made for; for another maker's disk its guest device. */
  readonly name: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** The host's cache mode in the hypervisor's words, such as `none`. */
  readonly cache: string;
  /** The image that is read and written, then those behind it. Empty for a drive without a medium. */
  readonly images: readonly HypervisorImage[];
}

export interface HypervisorImage {
  /** `other`: storage that is no file or block device of this node. */
  readonly kind: 'file' | 'block' | 'other';
  /** On this node; for other storage what tells people which it is. */
  readonly path: string;
  readonly format: string;
}
