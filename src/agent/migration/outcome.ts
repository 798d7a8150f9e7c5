import { type HypervisorVm, isSplit } from '../../drivers/hypervisor-domains.ts';
import type { JobStatistics } from '../../drivers/hypervisor-jobs.ts';
import type { IncomingState } from './migration.ts';

/** What the source's own hypervisor says about the VM of a migration. */
export type LocalView =
  /** It cannot be asked. */
  | 'unreachable'
  | 'absent'
  /** The migration job still runs. */
  | 'migrating'
  | 'running'
  /** Stopped for a switchover that did not end here. */
  | 'held'
  /** Stopped for a post-copy migration: another node's guest lives on its memory. */
  | 'holds-pages'
  | 'paused'
  | 'stopped';

/**
 * What the destination's agent says; `unreachable` is the network's answer, not its own. `holds-source`: it runs there, and
 * lives on memory that is still here.
 */
export type PeerView = IncomingState | 'holds-source' | 'unreachable';

export type Verdict =
  /** Look again later. */
  | 'wait'
  /** The VM is at the destination and gone here. */
  | 'moved'
  /** The VM is at the destination; the copy here must go. */
  | 'remove-local'
  /** The VM is here; the destination must promise never to run it. */
  | 'call-off'
  /** The VM is here and cannot have reached the destination. */
  | 'stayed'
  /** The VM is on neither node. */
  | 'lost';

/**
 * How a migration whose job has ended came out. The rule behind it: nobody's silence is taken for an answer, and a
 * copy runs on only where the other side cannot run one.
 *
 * | here \ there              | arrived      | absent, prepared | receiving  | unknown, unreachable |
 * |---------------------------|--------------|------------------|------------|----------------------|
 * | unreachable, migrating    | wait         | wait             | wait       | wait                 |
 * | absent                    | moved        | lost             | wait       | wait                 |
 * | running, paused, stopped  | remove-local | call-off         | call-off   | stayed or wait       |
 * | held                      | remove-local | call-off         | call-off   | wait                 |
 * | holds-pages               | wait         | wait             | wait       | wait                 |
 *
 * A destination that holds the source is waited for as well, whatever is here: nothing may destroy the only copy of the
 * pages that it has not fetched yet.
 *
 * With the destination silent, `stayed` needs that the guest was never stopped for the switchover: until then it
 * cannot have started over there. Of one that is off after nobody has looked for a while that is not known, so it counts as
 * stopped for it.
 */
export function judge(local: LocalView, peer: PeerView, switchedOver: boolean): Verdict {
  if (local === 'unreachable' || local === 'migrating' || local === 'holds-pages') return 'wait';
  if (peer === 'holds-source') return 'wait';
  if (peer === 'arrived') return local === 'absent' ? 'moved' : 'remove-local';
  if (local === 'absent') return peer === 'absent' || peer === 'prepared' ? 'lost' : 'wait';
  if (peer === 'unknown' || peer === 'unreachable') {
    return switchedOver || local === 'held' ? 'wait' : 'stayed';
  }
  return 'call-off';
}

/** Reduces what the hypervisor says to what matters for the outcome. */
export function localView(
  vm: HypervisorVm | undefined,
  job: JobStatistics | undefined,
): Exclude<LocalView, 'unreachable'> {
  if (vm === undefined) return 'absent';
  // libvirt keeps the job of one whose link is lost.
  if (vm.stateReason === 'postcopy-failed') return 'holds-pages';
  if (job?.operation === 'migration-out' && (job.kind === 'bounded' || job.kind === 'unbounded')) {
    return 'migrating';
  }
  if (isSplit(vm)) return 'holds-pages';
  switch (vm.state) {
    case 'stopped':
    case 'crashed':
      return 'stopped';
    case 'paused':
      // The guest was stopped by the migration, so nobody but the migration will let it go on.
      return vm.stateReason === 'migration' || vm.stateReason === 'starting-up' ? 'held' : 'paused';
    default:
      return 'running';
  }
}
