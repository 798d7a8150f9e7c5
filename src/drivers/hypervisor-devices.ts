import type { AgentError } from '../core/errors.ts';

/** Changes VMs while they run. */
export interface HypervisorDevices {
  /**
   * Has a VM that is on be as its definition says, as far as that is of effect `live`: one attempt, in which a guest is asked at most
   * once for each change. What has been done is from then on part of the live definition. Repeating it is fine; a VM that is off has
   * nothing to change. Fails only where the VM cannot be looked at; what becomes of each change is told.
   */
  changeLive(uid: string, signal: AbortSignal): Promise<readonly LiveChange[]>;

  /**
   * Has the disk with this path of a VM that is on be of so many bytes, at least what it has, which its guest sees at once. One that is
   * so already is fine. Fails with VM_NOT_RUNNING if the VM is off or does not have that disk now, STORAGE_FULL and HYPERVISOR_FAILURE.
   */
  resizeDisk(uid: string, path: string, bytes: number, signal: AbortSignal): Promise<void>;
}

/** What an attempt has come to for one change. */
export interface LiveChange {
  /** As the manifest writes it. */
  readonly field: string;
  /** See `changeKeyOf`. */
  readonly key: string;
  /** `asked`: the guest was asked and has not done its part yet. */
  readonly state: 'done' | 'asked' | 'failed';
  /** What the guest has not done, for people; left out where there is no more to say. */
  readonly lack?: string;
  /** How many CPUs the guest says that it uses, fewer than it has been given. */
  readonly cpusOnline?: number;
  /** Why it has failed. */
  readonly problem?: AgentError;
}
