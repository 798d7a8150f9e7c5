import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { HypervisorDevices } from '../../drivers/hypervisor-devices.ts';
import { type HypervisorDomains, isOn } from '../../drivers/hypervisor-domains.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { LiveAttempts } from './live-attempts.ts';
import type { Ownership } from './ownership.ts';
import { isLive } from './pending-changes.ts';
import type { VmDiskKeys } from './vm-disk-keys.ts';

export interface LiveChangeControllerOptions {
  readonly domains: Pick<HypervisorDomains, 'find'>;
  readonly devices: Pick<HypervisorDevices, 'changeLive'>;
  readonly diskKeys: Pick<VmDiskKeys, 'ensure'>;
  readonly ownership: Pick<Ownership, 'isOwner' | 'isStale' | 'isStray'>;
  readonly liveAttempts: LiveAttempts;
  readonly locks: KeyLocks;
  readonly onChange: () => void;
  readonly log: Logger;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Whoever has the VM now is soon done with it. */
const BUSY_MS = 100;
/** A guest takes memory within a second, and many take long: soon at first, then ever more seldom. */
const LOOK_AGAIN_MS = 250;
/** One that was in its firmware, or stood still, has not heard: QEMU takes the next question after five seconds. */
const ASK_AGAIN_MS = 10_000;

/**
 * Has VMs that run be as their definitions say, of what can be changed while they run: plugs in what is new, and asks guests to let go
 * of what is to be gone, again and again until they have. What they have not let go of stays theirs.
 */
export class LiveChangeController implements Controller {
  readonly name = 'live-changes';
  readonly inputs: readonly Input[] = ['domains', 'vms', 'ownership'];
  readonly outputs: readonly Output[] = ['running-devices'];
  readonly #options: LiveChangeControllerOptions;

  constructor(options: LiveChangeControllerOptions) {
    this.#options = options;
  }

  concern({ uid, domain, vm }: SeenVm): string | undefined {
    if (domain === undefined || vm === undefined) {
      this.#options.liveAttempts.forget(uid);
      return undefined;
    }
    if (vm.migration !== undefined) return undefined;
    const open = vm.pendingChanges.filter(isLive);
    if (open.length === 0 || !isOn(domain) || domain.state === 'incoming') {
      this.#options.liveAttempts.forget(uid);
      return undefined;
    }
    const { ownership } = this.#options;
    const { definition } = vm;
    const isOurs =
      ownership.isOwner(uid) && !ownership.isStale(definition) && !ownership.isStray(definition);
    // A later generation is tried at once.
    return isOurs
      ? `${definition.generation} ${open.map(({ field }) => field).join(' ')}`
      : undefined;
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { domains, devices, diskKeys, liveAttempts, locks, onChange, log } = this.#options;
    using lock = locks.tryAcquire(vmUid, 'change while it runs', { isByItself: true });
    if (lock === undefined) return { afterMs: BUSY_MS };
    const found = await domains.find(vmUid, signal);
    if (found?.definition === undefined || !isOn(found) || found.state === 'incoming') {
      return undefined;
    }
    // The hypervisor may have forgotten those of disks that are yet to come.
    await diskKeys.ensure(found.definition, signal);
    const changes = await devices.changeLive(vmUid, signal);
    const nowMs = (this.#options.now ?? Date.now)();
    liveAttempts.note(found.definition, changes, nowMs);
    for (const { field, state } of changes) {
      if (state === 'done') log.info({ vmId: vmUid, field }, 'VM changed while it runs');
    }
    if (changes.length > 0) onChange();
    const open = changes.filter(({ state }) => state !== 'done');
    if (open.length === 0) return undefined;
    const failed = open.find(({ problem }) => problem !== undefined);
    const { definition } = found;
    const waited = open.map(
      ({ key }) => nowMs - (liveAttempts.find(definition, key)?.sinceMs ?? nowMs),
    );
    const soonMs = Math.max(LOOK_AGAIN_MS, Math.min(...waited) / 2);
    return {
      afterMs: failed === undefined ? Math.min(soonMs, ASK_AGAIN_MS) : ASK_AGAIN_MS,
      ...(failed?.problem !== undefined && { failure: failed.problem }),
    };
  }
}
