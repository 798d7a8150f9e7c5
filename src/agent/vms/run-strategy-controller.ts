import { hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { runStrategyOf } from '../../core/resources/run-strategy.ts';
import type { OperationService } from '../operations/operation.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import { Restarts, type RestartsOptions } from './restarts.ts';
import type { Vm, VmRef } from './vm.ts';
import type { VmInventory } from './vm-inventory.ts';
import type { VmManager } from './vm-manager.ts';
import { isOff, wasMovedAway } from './vm-phase.ts';

export interface RunStrategyControllerOptions extends RestartsOptions {
  readonly vms: Pick<VmManager, 'noteMovedAway'>;
  readonly operations: Pick<OperationService, 'submit'>;
  /** Whether something is being done to a VM. Must cost nothing. */
  readonly isBusy: (vmUid: string) => boolean;
  readonly inventory: Pick<VmInventory, 'findByUid' | 'refresh'>;
  readonly log: Logger;
}

const REQUESTED_BY = 'agent/run-strategies';

/**
 * Brings about that VMs run as their run strategies say: starts those that have stopped by themselves, shuts down those
 * that are Halted. Asks for that as callers do, so that it is recorded, and what callers ask for later takes its place.
 */
export class RunStrategyController implements Controller {
  readonly name = 'run-strategies';
  readonly inputs: readonly Input[] = ['vms'];
  readonly outputs: readonly Output[] = ['operations'];
  readonly #options: RunStrategyControllerOptions;
  readonly #restarts: Restarts;

  constructor(options: RunStrategyControllerOptions) {
    this.#options = options;
    this.#restarts = new Restarts(options);
  }

  concern({ uid, vm }: SeenVm): string | undefined {
    const act = vm && wantedAct(vm);
    if (vm === undefined) this.#restarts.forget(uid);
    else if (act === undefined) this.#restarts.settle(uid);
    return this.#options.isBusy(uid) ? undefined : act;
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { vms, operations, inventory, isBusy, log } = this.#options;
    // What the VM is now counts, not what it was when it was put in line.
    await inventory.refresh(signal);
    const vm = inventory.findByUid(vmUid);
    const act = vm && wantedAct(vm);
    if (vm === undefined || act === undefined || isBusy(vmUid)) return undefined;
    const waitMs = act === 'noteMovedAway' ? 0 : this.#restarts.waitMs(vmUid);
    if (waitMs > 0) return { afterMs: waitMs };
    const { namespace, name } = vm.definition;
    const ref: VmRef = { namespace, name, uid: vmUid };
    try {
      log.info({ vmId: vmUid, operation: act }, 'VM is not as its run strategy says');
      this.#restarts.settle(vmUid);
      if (act === 'noteMovedAway') await vms.noteMovedAway(ref, signal);
      else {
        const asked = { id: undefined, kind: act, vm: ref, parameters: {} };
        await operations.submit({ ...asked, requestedBy: REQUESTED_BY }, signal);
      }
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      if (isGone(error)) return undefined;
      if (act === 'noteMovedAway') throw error;
      return { afterMs: this.#restarts.waitMs(vmUid), failure: error };
    }
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
