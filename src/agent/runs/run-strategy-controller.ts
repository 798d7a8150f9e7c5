import { AgentError, hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { CapacityLedger } from '../node/capacity-ledger.ts';
import type { OperationService } from '../operations/operation.ts';
import { agentPart } from '../operations/requester.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { Vm } from '../vms/vm.ts';
import type { VmInventory } from '../vms/vm-inventory.ts';
import type { VmLocator } from '../vms/vm-locator.ts';
import type { PowerRequests } from './power-requests.ts';
import { Restarts } from './restarts.ts';
import type { RunEndCause } from './run-ends.ts';
import { wantedAct } from './run-strategies.ts';

export interface RunStrategyControllerOptions {
  readonly operations: Pick<OperationService, 'submit'>;
  readonly requests: Pick<PowerRequests, 'isBusy' | 'countStarts'>;
  /** When VMs are started again, which it alone plans. */
  readonly restarts: Restarts;
  readonly capacity: Pick<CapacityLedger, 'hasRoom'>;
  readonly inventory: Pick<VmInventory, 'findByUid' | 'refresh'>;
  readonly locator: Pick<VmLocator, 'ask'>;
  /** How many starts that it has asked for may go on at once; those of callers do not count. */
  readonly startsAtOnce: number;
  /** While this is true nothing is started. Must cost nothing. */
  readonly isNodeGoingDown: () => boolean;
  readonly firstDelayMs?: number | undefined;
  readonly onChange: () => void;
  readonly log: Logger;
}

type Act = NonNullable<ReturnType<typeof wantedAct>>;

/** Ends that may have been a move to another node. */
const UNSEEN: readonly RunEndCause[] = ['not-seen', 'node-rebooted', 'no-record'];
/** As whom it asks. */
const REQUESTED_BY = agentPart('run-strategies');
/** Those that are due at about the same time, as all are after a boot, are started in their order. */
const SAME_TIME_MS = 50;
/** Whose turn it is shows at the next look; this is for what nobody sees. */
const TURN_MS = 1_000;

/**
 * Brings about that VMs run as their run strategies say: starts those that have stopped by themselves, shuts down those
 * that are Halted. Asks for that as callers do, so that it is recorded, and what callers ask for later takes its place. Only
 * so many are started at once: the oldest VM first, of those of one age by namespace and name.
 */
export class RunStrategyController implements Controller {
  readonly name = 'run-strategies';
  readonly inputs: readonly Input[] = ['vms', 'operations'];
  readonly outputs: readonly Output[] = ['operations'];
  readonly #options: RunStrategyControllerOptions;
  readonly #shutdowns: Restarts;
  /** VMs that are to be started. */
  readonly #waiting = new Map<string, VmDefinition>();

  constructor(options: RunStrategyControllerOptions) {
    this.#options = options;
    const { firstDelayMs } = options;
    const requests = { lastStart: () => undefined };
    this.#shutdowns = new Restarts({ firstDelayMs, requests, onChange: () => undefined });
  }

  concern({ uid, vm }: SeenVm): string | undefined {
    const { restarts, requests, capacity } = this.#options;
    if (vm === undefined) {
      for (const backOff of [restarts, this.#shutdowns]) backOff.forget(uid);
    }
    // Nobody knows whether it runs.
    const act = vm?.phase === 'unknown' ? undefined : vm && this.#wantedAct(vm);
    if (vm !== undefined && vm.phase !== 'unknown') {
      if (act !== 'start') restarts.settle(uid);
      if (act !== 'shutdown') this.#shutdowns.settle(uid);
    }
    const isBusy = requests.isBusy(uid);
    if (vm === undefined || act !== 'start' || isBusy) this.#waiting.delete(uid);
    if (vm === undefined || act === undefined || isBusy) return undefined;
    if (act === 'shutdown') return act;
    // Planned here, where all are seen together, so that those that stopped together are due together.
    restarts.plan(uid);
    this.#waiting.set(uid, vm.definition);
    if (restarts.lackOf(uid) !== undefined && capacity.hasRoom(vm.definition)) restarts.hasten(uid);
    return this.#isTurnOf(uid) ? 'start, its turn' : act;
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { operations, inventory, requests, log } = this.#options;
    const known = inventory.findByUid(vmUid);
    const planned = known && this.#wantedAct(known);
    const wait = planned && this.#waitOf(vmUid, planned);
    if (wait !== undefined) return wait;
    // What the VM is now counts, not what it was when it was put in line.
    await inventory.refresh(signal);
    const vm = inventory.findByUid(vmUid);
    const act = vm && this.#wantedAct(vm);
    if (vm === undefined || act === undefined || requests.isBusy(vmUid)) return undefined;
    // Others may have come before it meanwhile.
    const again = this.#waitOf(vmUid, act);
    if (again !== undefined) return again;
    const backOff = this.#backOffOf(act);
    const { namespace, name } = vm.definition;
    try {
      if (act === 'start') await this.#assertNotElsewhere(vm, signal);
      log.info({ vmId: vmUid, operation: act }, 'VM is not as its run strategy says');
      const asked = { id: undefined, kind: act, vm: { namespace, name, uid: vmUid } };
      await operations.submit({ ...asked, parameters: {}, requestedBy: REQUESTED_BY }, signal);
      backOff.begin(vmUid);
      return undefined;
    } catch (error) {
      signal.throwIfAborted();
      backOff.refuse(vmUid, error);
      if (isGone(error)) return undefined;
      return { afterMs: backOff.waitMs(vmUid), failure: error };
    } finally {
      // Whoever is next is seen at the next look.
      this.#waiting.delete(vmUid);
      this.#options.onChange();
    }
  }

  /**
   * A VM that somebody has moved away with virsh looks like one whose end nobody saw, once libvirt has forgotten that. Who
   * cannot be asked is taken not to have it: the node may have rebooted with all others.
   */
  async #assertNotElsewhere({ definition, run }: Vm, signal: AbortSignal): Promise<void> {
    const { uid, name } = definition;
    if (run?.end === undefined || !UNSEEN.includes(run.end.cause)) return;
    const answers = await this.#options.locator.ask(uid, signal);
    const holder = answers.find(({ presence }) => presence === 'held')?.peer.nodeName;
    if (holder === undefined) return;
    throw new AgentError(
      'VM_NOT_OWNED',
      `Cannot start VM ${name} by itself: node ${holder} has it too, and nobody saw how its run here has ended; make sure which copy is the VM, and delete the other`,
      { metadata: { vmId: uid, owner: holder } },
    );
  }

  #wantedAct(vm: Vm): Act | undefined {
    const act = wantedAct(vm);
    return act === 'start' && this.#options.isNodeGoingDown() ? undefined : act;
  }

  #backOffOf(act: Act): Restarts {
    return act === 'start' ? this.#options.restarts : this.#shutdowns;
  }

  /** Undefined once it may be asked for. */
  #waitOf(vmUid: string, act: Act): Again | undefined {
    const afterMs = this.#backOffOf(act).waitMs(vmUid);
    if (afterMs > 0) return { afterMs };
    return act === 'start' && !this.#isTurnOf(vmUid) ? { afterMs: TURN_MS } : undefined;
  }

  #isTurnOf(vmUid: string): boolean {
    const { requests, restarts, startsAtOnce } = this.#options;
    if (!restarts.isDue(vmUid, 0)) return false;
    if (requests.countStarts(REQUESTED_BY) >= startsAtOnce) return false;
    const own = this.#waiting.get(vmUid);
    if (own === undefined) return false;
    for (const [uid, other] of this.#waiting) {
      if (isBefore(other, own) && restarts.isDue(uid, SAME_TIME_MS)) return false;
    }
    return true;
  }
}

/** The order in which VMs are started. */
function isBefore(left: VmDefinition, right: VmDefinition): boolean {
  if (left.createdAtMs !== right.createdAtMs) return left.createdAtMs < right.createdAtMs;
  if (left.namespace !== right.namespace) return left.namespace < right.namespace;
  return left.name < right.name;
}

function isGone(error: unknown): boolean {
  return hasReason(error, 'VM_NOT_FOUND', 'VM_UID_MISMATCH', 'VM_NOT_OWNED');
}
