import { delay } from '../../core/delay.ts';
import { hasReason } from '../../core/errors.ts';
import { EVERYTHING } from '../../core/label-selector.ts';
import type { Logger } from '../../core/logger.ts';
import { runStrategyOf } from '../../core/resources/run-strategy.ts';
import type { TaskGroup } from '../../core/task-group.ts';
import type { Vm, VmRef, VmService } from './vm.ts';
import type { VmManager } from './vm-manager.ts';
import { isOff, wasMovedAway } from './vm-phase.ts';

export interface RunStrategyControllerOptions {
  readonly vms: Pick<VmService, 'watch' | 'get' | 'start' | 'shutdown'> &
    Pick<VmManager, 'noteMovedAway'>;
  /** Returns once it is known which VMs there are. */
  readonly untilListed: (signal: AbortSignal) => Promise<void>;
  readonly tasks: TaskGroup;
  readonly log: Logger;
  /** Before the first restart; each later one waits twice as long. Default 2 s. */
  readonly firstDelayMs?: number;
}

const FIRST_DELAY_MS = 2_000;
const MAX_DELAY_MS = 300_000;
/** A VM that has run so long is well, and its next restart is the first again. */
const WELL_AFTER_MS = 600_000;

interface Attempts {
  delayMs: number;
  lastAtMs: number;
}

/**
 * Brings about that VMs run as their run strategies say: starts those that have stopped by themselves, shuts down those
 * that are Halted. Woken by every change of a VM; writes nothing but through the verbs, which record what was asked.
 */
export class RunStrategyController {
  readonly #options: RunStrategyControllerOptions;
  readonly #attempts = new Map<string, Attempts>();
  /** VMs whose turn is to come. */
  readonly #waiting = new Set<string>();

  constructor(options: RunStrategyControllerOptions) {
    this.#options = options;
  }

  /** Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    await this.#options.untilListed(signal);
    const everything = { namespace: '', labels: EVERYTHING };
    for await (const event of this.#options.vms.watch(everything, undefined, signal)) {
      if (!('object' in event)) continue;
      const vm = event.object;
      const { uid } = vm.definition;
      if (event.type === 'deleted') this.#attempts.delete(uid);
      else if (wantedAct(vm) !== undefined && !this.#waiting.has(uid)) {
        this.#waiting.add(uid);
        this.#options.tasks.run('run strategy', (stop) => this.#bringAbout(vm, stop));
      }
    }
  }

  async #bringAbout(vm: Vm, signal: AbortSignal): Promise<void> {
    const { vms, log } = this.#options;
    const { uid, namespace, name } = vm.definition;
    const ref: VmRef = { namespace, name, uid };
    // libvirt may forget at any time that it was moved.
    let waits = wantedAct(vm) !== 'noteMovedAway';
    try {
      for (;;) {
        if (waits) await delay(this.#nextDelay(uid), signal);
        waits = true;
        try {
          // What the VM is now counts, not what it was when it was put in line.
          const act = wantedAct(await vms.get(ref, signal));
          if (act === undefined) return;
          log.info({ vmId: uid, operation: act }, 'VM is not as its run strategy says');
          await vms[act](ref, signal);
          // It may have stopped again already; nobody is woken by that as long as it has its turn.
          if (wantedAct(await vms.get(ref, signal)) === undefined) return;
        } catch (error) {
          signal.throwIfAborted();
          if (isGone(error)) return;
          log.warn({ vmId: uid, err: error }, 'Cannot bring a VM to what its run strategy says');
        }
      }
    } finally {
      this.#waiting.delete(uid);
    }
  }

  #nextDelay(uid: string): number {
    const nowMs = performance.now();
    const first = this.#options.firstDelayMs ?? FIRST_DELAY_MS;
    const before = this.#attempts.get(uid);
    const isWell = before === undefined || nowMs - before.lastAtMs > WELL_AFTER_MS;
    const delayMs = isWell ? first : Math.min(2 * before.delayMs, MAX_DELAY_MS);
    this.#attempts.set(uid, { delayMs, lastAtMs: nowMs + delayMs });
    return delayMs;
  }
}

/** Reasons for which a VM is off that no strategy may undo: it is another node's, or its run is kept in a file. */
const NEVER_STARTED: readonly string[] = ['StaleCopy', 'StrayCopy', 'Migrated', 'Saved'];

/** What a VM's run strategy asks for now; undefined if it is as it should be, or changing. */
function wantedAct(vm: Vm): 'start' | 'shutdown' | 'noteMovedAway' | undefined {
  const { definition, phase, reason } = vm;
  if (wasMovedAway(vm) && definition.intent === 'on') return 'noteMovedAway';
  switch (runStrategyOf(definition.spec)) {
    case 'Halted':
      return phase === 'running' || phase === 'paused' ? 'shutdown' : undefined;
    case 'Always':
      return isOff(vm) && isWanted(definition.intent, reason) ? 'start' : undefined;
    case 'RerunOnFailure':
      return phase === 'failed' && isWanted(definition.intent, reason) ? 'start' : undefined;
    default:
      return undefined;
  }
}

function isWanted(intent: 'on' | 'off', reason: string): boolean {
  return intent === 'on' && !NEVER_STARTED.includes(reason);
}

function isGone(error: unknown): boolean {
  return hasReason(error, 'VM_NOT_FOUND', 'VM_UID_MISMATCH', 'VM_NOT_OWNED');
}
