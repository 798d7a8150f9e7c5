import { AgentError, hasReason } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { HypervisorGuestAgent } from '../../drivers/hypervisor-guest-agent.ts';
import { lockVm } from '../vms/busy.ts';
import type { Vm } from '../vms/vm.ts';
import { commandNameOf } from '../vms/vm-words.ts';
import type { Freeze, FreezeBook } from './freeze-book.ts';
import type { FreezeRequest } from './guest.ts';

export interface GuestFreezerOptions {
  readonly guestAgent: Pick<HypervisorGuestAgent, 'freeze' | 'thaw' | 'isFrozen'>;
  readonly freezes: FreezeBook;
  /** One operation per VM, shared with migrations: what is frozen does not move. */
  readonly locks: KeyLocks;
  readonly log: Logger;
}

/** Holds the writes of guests to their file systems, and lets them go on. */
export class GuestFreezer {
  readonly #options: GuestFreezerOptions;

  constructor(options: GuestFreezerOptions) {
    this.#options = options;
  }

  /** One that this node has frozen already only gets another deadline. */
  async freeze(
    { definition }: Vm,
    { timeoutMs, requestedBy }: FreezeRequest,
    signal: AbortSignal,
  ): Promise<Freeze> {
    const { guestAgent, freezes, locks, log } = this.#options;
    const { uid } = definition;
    const verb = 'freeze the file systems of';
    using _lock = await lockVm(locks, definition, { verb, purpose: 'freeze' }, signal);
    const isFrozen = await guestAgent.isFrozen(uid, signal);
    if (isFrozen && freezes.find(uid) === undefined) throw frozenByOthers(verb, definition);
    signal.throwIfAborted();
    // Past this line it may come to be frozen, whether or not anybody waits: who comes next must know.
    const { deadlineMs } = await freezes.put(uid, timeoutMs, requestedBy);
    if (isFrozen) return { fileSystems: undefined, requestedBy, deadlineMs };
    try {
      const fileSystems = await guestAgent.freeze(uid, signal);
      // It must not be thawed at a deadline that was begun before it was frozen.
      const frozen = await freezes.put(uid, timeoutMs, requestedBy);
      log.info(
        { vmId: uid, fileSystems, requestedBy, timeoutMs },
        'File systems of a guest frozen',
      );
      return { fileSystems, requestedBy, deadlineMs: frozen.deadlineMs };
    } catch (error) {
      freezes.expire(uid);
      throw error;
    }
  }

  /** What this node has not frozen is left alone, unless it is forced. */
  async thaw(
    { definition }: Vm,
    { isForced }: { readonly isForced: boolean },
    signal: AbortSignal,
  ): Promise<number> {
    const { guestAgent, freezes, log } = this.#options;
    const { uid } = definition;
    if (freezes.find(uid) === undefined) {
      if (!(await guestAgent.isFrozen(uid, signal))) return 0;
      if (!isForced) throw frozenByOthers('thaw the file systems of', definition);
    }
    const fileSystems = await guestAgent.thaw(uid, signal);
    await freezes.remove(uid);
    log.info({ vmId: uid, fileSystems }, 'File systems of a guest thawed');
    return fileSystems;
  }

  /** Thaws one whose time is over. False if that has to be tried again. */
  async thawOverdue(vmUid: string, signal: AbortSignal): Promise<boolean> {
    const { guestAgent, freezes, log } = this.#options;
    try {
      const fileSystems = await guestAgent.thaw(vmUid, signal);
      log.warn(
        { vmId: vmUid, fileSystems },
        'File systems of a guest thawed, as their time was over',
      );
    } catch (error) {
      signal.throwIfAborted();
      // What is off, or gone, is not frozen any more; what is paused is.
      if (!hasReason(error, 'VM_NOT_RUNNING', 'VM_NOT_FOUND')) {
        log.debug({ vmId: vmUid, err: error }, 'Cannot thaw the file systems of a guest yet');
        return false;
      }
    }
    await freezes.remove(vmUid);
    return true;
  }
}

function frozenByOthers(verb: string, definition: Vm['definition']): AgentError {
  return new AgentError(
    'GUEST_FROZEN',
    `Cannot ${verb} VM ${definition.name}: somebody else has frozen them, by virsh or from inside, and may be at a backup; wait for that, or thaw them by force: novactl vm guest thaw ${commandNameOf(definition)} --force`,
    { metadata: { vmId: definition.uid } },
  );
}
