import { hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { DiskFiles } from '../../drivers/disk-files.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { OperationService } from '../operations/operation.ts';
import { agentPart } from '../operations/requester.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import { GrowingDelays } from '../reconcile/growing-delays.ts';
import type { Vm } from '../vms/vm.ts';
import type { VmInventory } from '../vms/vm-inventory.ts';
import { resumesByItself } from '../vms/vm-pauses.ts';
import type { PowerRequests } from './power-requests.ts';

export interface IoErrorControllerOptions {
  readonly operations: Pick<OperationService, 'submit'>;
  readonly requests: Pick<PowerRequests, 'isBusy' | 'isHeldSince'>;
  readonly domains: Pick<HypervisorDomains, 'find'>;
  readonly inventory: Pick<VmInventory, 'findByUid'>;
  readonly diskFiles: Pick<DiskFiles, 'availableBytes'>;
  /** Before the first look for room, and the first try. Default 2 s. */
  readonly firstResumeDelayMs?: number | undefined;
  readonly log: Logger;
}

const FIRST_DELAY_MS = 2_000;
/** A look for room costs a moment of a process; a guest that is let go on is told of. */
const MAX_DELAY_MS = { NoSpace: 60_000, IoError: 600_000 } as const;
/** A VM that has run so long since it was let go on is well. */
const WELL_AFTER_MS = 600_000;
/** With less the guest would stand still again with its next few writes. */
const ROOM_BYTES = 16 * 1024 * 1024;
/** As whom it asks. */
const REQUESTED_BY = agentPart('io-error-resume');

/**
 * Lets VMs go on that a disk error has paused, where their `ioErrorResume` is `auto`: those whose storage was full once it has
 * room, others after a while, and later each time. Asks for that as callers do, so that it is recorded and told.
 */
export class IoErrorController implements Controller {
  readonly name = 'io-error-resume';
  readonly inputs: readonly Input[] = ['vms', 'operations'];
  readonly outputs: readonly Output[] = ['resumes'];
  readonly #options: IoErrorControllerOptions;
  readonly #delays = new GrowingDelays();
  /** When each is due, by the clock that nobody sets. */
  readonly #dueAtMs = new Map<string, number>();

  constructor(options: IoErrorControllerOptions) {
    this.#options = options;
  }

  concern({ uid, vm }: SeenVm): string | undefined {
    const isPaused = vm?.phase === 'paused';
    const sinceTryMs = performance.now() - (this.#dueAtMs.get(uid) ?? Number.POSITIVE_INFINITY);
    if (vm === undefined || (!isPaused && sinceTryMs > WELL_AFTER_MS)) this.#forget(uid);
    return vm === undefined ? undefined : this.#reasonOf(vm);
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { operations, inventory, log } = this.#options;
    const vm = inventory.findByUid(vmUid);
    const reason = vm && this.#reasonOf(vm);
    if (vm === undefined || reason === undefined) return undefined;
    const dueAtMs = this.#dueAtMs.get(vmUid);
    const leftMs = (dueAtMs ?? Number.POSITIVE_INFINITY) - performance.now();
    if (dueAtMs === undefined) return { afterMs: this.#postpone(vmUid, reason) };
    if (leftMs > 0) return { afterMs: leftMs };
    const afterMs = this.#postpone(vmUid, reason);
    if (reason === 'NoSpace' && !(await this.#hasRoom(vmUid, signal))) return { afterMs };
    const { namespace, name } = vm.definition;
    log.info({ vmId: vmUid, reason }, 'A VM that a disk error has paused is let go on');
    const asked = { id: undefined, kind: 'resume', vm: { namespace, name, uid: vmUid } } as const;
    await operations.submit({ ...asked, parameters: {}, requestedBy: REQUESTED_BY }, signal);
    return undefined;
  }

  /** Undefined where nothing is to be done now. */
  #reasonOf(vm: Vm): keyof typeof MAX_DELAY_MS | undefined {
    const { definition, phase, reason, conditions } = vm;
    if (phase !== 'paused' || (reason !== 'NoSpace' && reason !== 'IoError')) return undefined;
    if (!resumesByItself(definition) || definition.newer !== undefined) return undefined;
    const { requests } = this.#options;
    if (requests.isBusy(definition.uid)) return undefined;
    // Somebody wants it to stand still, whatever has stopped it first.
    const paused = conditions.find(({ type }) => type === 'Paused');
    return requests.isHeldSince(definition.uid, paused?.lastTransitionAtMs ?? 0)
      ? undefined
      : reason;
  }

  /** Whether there is room wherever it writes to files; block devices do not tell. */
  async #hasRoom(vmUid: string, signal: AbortSignal): Promise<boolean> {
    const { domains, diskFiles } = this.#options;
    const disks = (await domains.find(vmUid, signal))?.disks ?? [];
    const files = disks.flatMap(({ readOnly, images: [image] }) =>
      !readOnly && image?.kind === 'file' ? [image.path] : [],
    );
    try {
      const rooms = await Promise.all(files.map((file) => diskFiles.availableBytes(file, signal)));
      return rooms.every((room) => room >= ROOM_BYTES);
    } catch (error) {
      if (hasReason(error, 'IMAGE_UNREACHABLE')) return false;
      throw error;
    }
  }

  #postpone(vmUid: string, reason: keyof typeof MAX_DELAY_MS): number {
    const { firstResumeDelayMs = FIRST_DELAY_MS } = this.#options;
    const delayMs = this.#delays.next(vmUid, firstResumeDelayMs, MAX_DELAY_MS[reason]);
    this.#dueAtMs.set(vmUid, performance.now() + delayMs);
    return delayMs;
  }

  #forget(vmUid: string): void {
    this.#delays.forget(vmUid);
    this.#dueAtMs.delete(vmUid);
  }
}
