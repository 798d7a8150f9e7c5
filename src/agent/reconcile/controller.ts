import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { Vm } from '../vms/vm.ts';

/** What a controller looks at, and what wakes it. */
export type Input =
  /** What the hypervisor has, ours or not. */
  | 'domains'
  /** The VMs of this node with their specs, intents and phases. */
  | 'vms'
  /** What was asked for and has not ended. */
  | 'operations'
  /** Who owns which VM, as far as this node knows. */
  | 'ownership'
  /** Whether the host is about to go down. */
  | 'node-shutdown'
  /** The files of VMs that are for root alone. */
  | 'private-files'
  /** The variables of UEFI that this node has. */
  | 'hypervisor-files';

/** What a controller changes. No two controllers change the same. */
export type Output =
  /** VMs that this node owns. */
  | 'vms'
  /** Which VMs this node owns. */
  | 'ownership'
  /** What is asked for. */
  | 'operations'
  /** That VMs go on which a disk error has paused. */
  | 'resumes'
  /** What is known of how VMs have run. */
  | 'run-records'
  /** What this node should be. */
  | 'node-spec'
  /** The power of VMs while the host is about to go down, and nothing of what is wanted of them. */
  | 'power-at-node-shutdown'
  /** The power of copies that another node owns. */
  | 'power-of-stale-copies'
  /** Whether the nodes that VMs have come from have given them up. */
  | 'confirmed-arrivals'
  /** Definitions of VMs of this node that somebody else has changed. */
  | 'drifted-definitions'
  /** What is in drives that guests have opened. */
  | 'ejected-media'
  /** What VMs that run are made of. */
  | 'running-devices'
  /** What creations have left that failed or were cancelled. */
  | 'remains'
  /** Private files and variables of UEFI of VMs that are gone. */
  | 'orphaned-files';

/** A VM, ours or not, as it was last seen. */
export interface SeenVm {
  readonly uid: string;
  /** As the hypervisor has it; undefined if it has none of this uid. */
  readonly domain: HypervisorVm | undefined;
  /** As it is reported; undefined if it is not ours, or arriving. */
  readonly vm: Vm | undefined;
}

/** What is there, as a listing has it. */
export interface Look {
  readonly vms: readonly SeenVm[];
  /** How often the hypervisor could be asked again after it could not. */
  readonly returns: number;
}

/** What a step has left to do. */
export interface Again {
  /** When the VM shall be looked at again although nothing has changed. */
  readonly afterMs: number;
  /** Why the step has failed, where the controller knows better than the queue when to try again. */
  readonly failure?: unknown;
}

/**
 * Brings about something that must stay so, and not only become so once. It may be killed between any two lines and run
 * again: it looks at what is, takes one step, and remembers nothing that it needs.
 */
export interface Controller {
  /** A closed set, as it is a label of metrics: in kebab-case, named for what it brings about. */
  readonly name: string;
  readonly inputs: readonly Input[];
  readonly outputs: readonly Output[];
  /**
   * What is not as it should be about a VM, in one word; undefined if nothing is. Asked at every look for every VM, so it must
   * cost nothing. Another word than before ends the wait after a failure.
   */
  concern(vm: SeenVm): string | undefined;
  /** Takes one step for one VM. When it fails it is called again, each time after twice as long. */
  reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined>;
  /** Uids of VMs that the hypervisor may not have, for which a step must be taken. Called once after the first look. */
  findOthers?(signal: AbortSignal): Promise<readonly string[]>;
}
