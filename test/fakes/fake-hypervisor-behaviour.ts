import type { AgentError } from '../../src/core/errors.ts';
import type { MigrationObstacle } from '../../src/drivers/hypervisor-jobs.ts';

/** How a switchover ends; all but `well` are what a link that breaks at that moment can lead to. */
export type SwitchoverEnd =
  | 'well'
  /** The destination runs it, but the source did not hear of it and resumes its copy. */
  | 'reply-lost'
  /** The same, with the copy at the source still stopped. */
  | 'reply-lost-held'
  /** The destination drops it, and the source leaves its copy stopped. */
  | 'held'
  /** The destination could not let it run and keeps it, stopped; the source resumes. */
  | 'stillborn'
  /** The guest runs at the destination, and the source has pages of it that never got there; see `sendLastPages`. */
  | 'pages-left';

/** What a test may want of a fake hypervisor. */
export class FakeHypervisorBehaviour {
  /** Iterations of a migration. Each takes one turn of the event loop, unless `manualProgress` is set. */
  migrationIterations = 3;
  /** Migrations wait for `advance` instead of going on by themselves. */
  manualProgress = false;
  /** How the next switchovers from here end. */
  switchoverEnd: SwitchoverEnd = 'well';
  /** Switchovers from here wait for this, the guest being stopped. */
  switchoverGate: Promise<void> = Promise.resolve();
  /** A VM whose source has gone is not dropped by itself. */
  keepsIncoming = false;
  /** What is migrated from here stays defined, off, as virsh migrate leaves it. */
  keepsMigrated = false;
  /** Guests take their time to power off; see `stopGuest`. */
  slowShutdown = false;
  /** What has paused a VM pauses it again as soon as it goes on. */
  stopsAgain = false;
  /** Guests hold their drives shut. */
  locksTrays = false;
  /** Guests do not let go of devices that they are to let go of. */
  keepsDevices = false;
  /** Why nothing can be plugged in while VMs run. */
  deviceProblem: AgentError | undefined;
  /** What keeps VMs from being migrated. */
  obstacles: readonly MigrationObstacle[] = [];
  /** Events get lost. */
  losesEvents = false;
}
