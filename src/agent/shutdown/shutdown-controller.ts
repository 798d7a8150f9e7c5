import { AgentError, hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type HypervisorDomains, isSplit } from '../../drivers/hypervisor-domains.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { Vm } from '../vms/vm.ts';
import type { VmInventory } from '../vms/vm-inventory.ts';
import { isOff } from '../vms/vm-phase.ts';
import { type GuestShutdowns, isOnHere } from './guest-shutdowns.ts';
import type { ShutdownMark } from './shutdown-mark.ts';
import type { ShutdownPreStops } from './shutdown-pre-stops.ts';

export interface ShutdownControllerOptions {
  readonly mark: ShutdownMark;
  readonly guests: Pick<GuestShutdowns, 'note' | 'noteCut' | 'noteObstacle'>;
  readonly domains: Pick<HypervisorDomains, 'list' | 'shutdown' | 'destroy'>;
  readonly inventory: Pick<VmInventory, 'refresh' | 'findByUid'>;
  readonly preStops: Pick<ShutdownPreStops, 'isRunning' | 'obstacleOf' | 'forget'>;
  readonly cancelMigration: (id: string) => Promise<unknown>;
  /** Has a VM stay where it comes from. */
  readonly turnAway: (vmUid: string, signal: AbortSignal) => Promise<void>;
  /** Called when there is something new to be told. */
  readonly onProgress: () => void;
  /** After which a guest that is still on is asked again. Default 20 s. */
  readonly askAgainMs?: number | undefined;
  readonly log: Logger;
}

/** A guest that is still booting may not heed its power button; pressing it again does no harm to one that powers off. */
const ASK_AGAIN_MS = 20_000;
/** What happens is seen at once; this is for what nobody sees, and for what failed. */
const LOOK_AGAIN_MS = 1_000;

/**
 * While the host is about to go down: asks all guests to power off, without a word about whether their VMs shall run, and cuts
 * the power of those that are on at the deadline. Migrations from here have half of the time; VMs that are arriving are turned away.
 */
export class ShutdownController implements Controller {
  readonly name = 'node-shutdown';
  readonly inputs: readonly Input[] = ['node-shutdown', 'domains', 'vms'];
  readonly outputs: readonly Output[] = ['power-at-node-shutdown'];
  readonly #options: ShutdownControllerOptions;
  /** When each guest was asked last, by the clock that nobody sets. */
  readonly #askedAtMs = new Map<string, number>();

  constructor(options: ShutdownControllerOptions) {
    this.#options = options;
  }

  concern({ uid, domain, vm }: SeenVm): string | undefined {
    const { mark, guests, preStops, onProgress } = this.#options;
    if (mark.record === undefined) {
      this.#askedAtMs.delete(uid);
      preStops.forget(uid);
      return undefined;
    }
    if (domain?.state === 'incoming') return 'arriving';
    if (vm === undefined || !isOnHere(vm)) {
      preStops.forget(uid);
      if (this.#askedAtMs.delete(uid)) onProgress();
      return undefined;
    }
    guests.note(vm);
    // Another deadline ends the wait for the one before, and so does the end of a migration.
    const word = vm.migration === undefined ? 'on' : 'migrating';
    return `${word} until ${mark.record.deadlineBootMs}`;
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { mark, guests, preStops, onProgress } = this.#options;
    if (!mark.isGoingDown) return undefined;
    try {
      const again = await this.#step(vmUid, signal);
      guests.noteObstacle(vmUid, preStops.obstacleOf(vmUid));
      return again;
    } catch (error) {
      signal.throwIfAborted();
      guests.noteObstacle(vmUid, failureText(error));
      return { afterMs: LOOK_AGAIN_MS, failure: error };
    } finally {
      onProgress();
    }
  }

  async #step(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { mark, inventory, turnAway } = this.#options;
    if (mark.leftMs <= 0) return this.#cut(vmUid, signal);
    await inventory.refresh(signal);
    const vm = inventory.findByUid(vmUid);
    if (vm === undefined) {
      await turnAway(vmUid, signal);
      return undefined;
    }
    if (!isOnHere(vm)) return undefined;
    if (vm.migration !== undefined) return this.#awaitMigration(vm.migration.id);
    return this.#ask(vm, signal);
  }

  async #ask({ definition }: Vm, signal: AbortSignal): Promise<Again> {
    const { mark, domains, preStops, log } = this.#options;
    const { askAgainMs = ASK_AGAIN_MS } = this.#options;
    const { uid } = definition;
    const isAsked = this.#askedAtMs.has(uid);
    if (!isAsked && preStops.isRunning(definition)) return this.#later(LOOK_AGAIN_MS);
    const agoMs = performance.now() - (this.#askedAtMs.get(uid) ?? Number.NEGATIVE_INFINITY);
    if (agoMs < askAgainMs) return this.#later(askAgainMs - agoMs);
    // A call that hangs must not make the deadline pass.
    const timely = AbortSignal.timeout(Math.max(1, Math.ceil(mark.leftMs)));
    await domains.shutdown(uid, AbortSignal.any([signal, timely]));
    this.#askedAtMs.set(uid, performance.now());
    log.info({ vmId: uid }, 'Guest asked to power off before the host goes down');
    return this.#later(askAgainMs);
  }

  async #awaitMigration(id: string): Promise<Again> {
    const { mark, cancelMigration } = this.#options;
    const { halfLeftMs } = mark;
    if (halfLeftMs > 0) return this.#later(Math.min(halfLeftMs, LOOK_AGAIN_MS));
    await cancelMigration(id).catch(unlessTooLate);
    return this.#later(LOOK_AGAIN_MS);
  }

  /** One that hangs is listed all the same, and its power can be cut. */
  async #cut(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { domains, inventory, guests, preStops, turnAway, log } = this.#options;
    preStops.forget(vmUid);
    const vm = inventory.findByUid(vmUid);
    if (vm === undefined) await turnAway(vmUid, signal);
    if (vm === undefined || isOff(vm)) return undefined;
    const listed = await domains.list(signal);
    const now = listed.find(({ uid }) => uid === vmUid);
    if (now !== undefined && isSplit(now)) throw splitInTwo(vm);
    if (vm.migration !== undefined) {
      await this.#options.cancelMigration(vm.migration.id).catch(unlessTooLate);
      throw stillMigrating(vm);
    }
    if (now !== undefined && now.state !== 'stopped' && now.state !== 'crashed') {
      await domains.destroy(vmUid, signal);
      guests.noteCut(vmUid);
      log.warn({ vmId: vmUid }, 'Power cut, as the host goes down');
    }
    await inventory.refresh(signal);
    return { afterMs: LOOK_AGAIN_MS };
  }

  #later(afterMs: number): Again {
    const leftMs = Math.min(afterMs, this.#options.mark.leftMs);
    return { afterMs: Math.max(1, Math.ceil(leftMs)) };
  }
}

function unlessTooLate(error: unknown): void {
  if (!hasReason(error, 'MIGRATION_PAST_SWITCHOVER', 'MIGRATION_NOT_FOUND')) throw error;
}

function splitInTwo({ definition: { name } }: Vm): AgentError {
  return new AgentError(
    'MIGRATION_PAST_SWITCHOVER',
    `Cannot cut the power of VM ${name}: its memory is on two nodes, and without the half that is here its guest is lost on the other node too; if that node is off for good: novactl migration settle ID --node-is-off NODE (novactl migration list has both)`,
  );
}

function stillMigrating({ definition, migration }: Vm): AgentError {
  return new AgentError(
    'VM_BUSY',
    `Cannot cut the power of VM ${definition.name}: its migration to node ${migration?.targetNode} has not ended yet`,
  );
}

function failureText(error: unknown): string {
  if (error instanceof DOMException) return 'libvirt has not answered in time';
  return error instanceof Error ? error.message : String(error);
}
