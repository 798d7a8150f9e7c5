import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { WatchdogAction } from '../../drivers/hypervisor-events.ts';
import type { PowerRequests } from './power-requests.ts';
import type { RunEndCause } from './run-ends.ts';
import { nextRecord, type RunRecord } from './run-record.ts';
import type { RunStore } from './run-store.ts';

export interface RunBookOptions {
  readonly store: RunStore;
  /** Of the boot that the host is in. */
  readonly bootId: string;
  readonly requests: Pick<PowerRequests, 'behind'>;
  /** Who has said that the host is about to go down; undefined while it is not. Must cost nothing. */
  readonly nodeShutdownBy: () => string | undefined;
}

export interface WatchdogFirings {
  readonly count: number;
  readonly action: WatchdogAction;
}

/** How what was never on has ended. */
const NEVER_ON: readonly RunEndCause[] = ['never-started', 'start-failed', 'no-record'];
/** libvirt may tell of a signal a little after a listing has seen what came of it. */
const LATE_MS = 2_000;

/**
 * How the VMs of this node have run, so far as anybody has seen. What is seen is here at once; `RunRecordController` writes it
 * to the journal, and until it has, an agent that is killed leaves the next one to find out by itself.
 */
export class RunBook {
  readonly #options: RunBookOptions;
  readonly #startedAtMs = Date.now();
  /** As the journal has them. */
  readonly #written: Map<string, RunRecord>;
  readonly #records: Map<string, RunRecord>;
  /** VMs whose hypervisor process the host has told to end, since they came on. */
  readonly #terminated = new Set<string>();
  readonly #reboots = new Map<string, number>();
  readonly #firings = new Map<string, WatchdogFirings>();

  private constructor(options: RunBookOptions, written: readonly RunRecord[]) {
    this.#options = options;
    this.#written = new Map(written.map((record) => [record.uid, record]));
    this.#records = new Map(this.#written);
  }

  static async load(options: RunBookOptions): Promise<RunBook> {
    return new RunBook(options, await options.store.list());
  }

  /** What is known of a VM; undefined if nothing is. */
  find(vmUid: string): RunRecord | undefined {
    return this.#records.get(vmUid);
  }

  /** Whether a VM has been on here, as far as anybody has seen. Costs nothing. */
  hasRun(vmUid: string): boolean {
    const record = this.#records.get(vmUid);
    if (record === undefined) return false;
    return record.isOn || (record.end !== undefined && !NEVER_ON.includes(record.end.cause));
  }

  /** A VM of this node was listed. */
  observe(vm: HypervisorVm, { createdAtMs }: VmDefinition): void {
    // Nobody knows what it is; and one that is being started may come to nothing.
    if (vm.state === 'unknown' || vm.stateReason === 'starting-up') return;
    const { uid } = vm;
    const { bootId, requests, nodeShutdownBy } = this.#options;
    const before = this.#records.get(uid);
    const record = nextRecord(before, {
      vm,
      bootId,
      nowMs: Date.now(),
      isNew: createdAtMs >= this.#startedAtMs,
      isTerminated: this.#terminated.has(uid),
      nodeShutdownBy: nodeShutdownBy(),
      requestBehind: (verb, runSinceMs) => requests.behind(uid, verb, runSinceMs),
    });
    if (record === before) return;
    this.#records.set(uid, record);
    if (record.isOn) this.#terminated.delete(uid);
  }

  /** libvirt tells that the host has made the hypervisor process of a VM end. */
  noteTerminated(vmUid: string): void {
    const record = this.#records.get(vmUid);
    if (record === undefined) return;
    if (record.isOn) this.#terminated.add(vmUid);
    const { end } = record;
    if (record.isOn || end?.cause !== 'guest-shutdown') return;
    if (Date.now() - end.atMs > LATE_MS) return;
    this.#records.set(vmUid, { ...record, end: { ...end, cause: 'terminated' } });
  }

  /** The guest has begun anew without its VM having gone off. */
  noteRebooted(vmUid: string): void {
    this.#reboots.set(vmUid, this.rebootsOf(vmUid) + 1);
  }

  /** How often the guest of a VM has begun anew while this agent looked. */
  rebootsOf(vmUid: string): number {
    return this.#reboots.get(vmUid) ?? 0;
  }

  /** The watchdog of a guest has fired. */
  noteWatchdog(vmUid: string, action: WatchdogAction): void {
    const count = (this.#firings.get(vmUid)?.count ?? 0) + 1;
    this.#firings.set(vmUid, { count, action });
  }

  /** How often the watchdog of a VM's guest has fired while this agent looked, and what the last one did; undefined if none has. */
  watchdogOf(vmUid: string): WatchdogFirings | undefined {
    return this.#firings.get(vmUid);
  }

  /** All that is on this node was listed: what is known of others is of VMs that were deleted or have left. */
  keepOnly(vmUids: ReadonlySet<string>): void {
    for (const uid of this.#records.keys()) {
      if (vmUids.has(uid)) continue;
      this.#records.delete(uid);
      this.#terminated.delete(uid);
    }
    for (const map of [this.#reboots, this.#firings]) {
      for (const uid of map.keys()) if (!vmUids.has(uid)) map.delete(uid);
    }
  }

  /** Whether the journal has something else. Costs nothing. */
  isUnwritten(vmUid: string): boolean {
    return this.#records.get(vmUid) !== this.#written.get(vmUid);
  }

  /** VMs of which the journal has something else. */
  listUnwritten(): readonly string[] {
    const uids = new Set([...this.#records.keys(), ...this.#written.keys()]);
    return [...uids].filter((uid) => this.isUnwritten(uid));
  }

  /** Has the journal know what is known of a VM now. */
  async write(vmUid: string): Promise<void> {
    const { store } = this.#options;
    const record = this.#records.get(vmUid);
    if (record === undefined) {
      await store.remove(vmUid);
      this.#written.delete(vmUid);
    } else {
      await store.put(record);
      this.#written.set(vmUid, record);
    }
  }
}
