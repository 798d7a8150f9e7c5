import { AgentError } from '../../core/errors.ts';
import { findBeyond } from '../vms/moved-on.ts';
import type { Ending } from './endings.ts';
import type { LocalView } from './outcome.ts';
import type { OutgoingContext } from './outgoing-context.ts';

/** How often in a row a VM must not be here before that is believed. */
const ABSENT_LOOKS = 8;

/**
 * One step towards the end of a migration whose destination is off for good, by somebody's word: what is here is the VM. The
 * destination is not asked any more, since it would be answered for what it no longer has. Undefined until it is done.
 */
export class TakingBack {
  readonly #context: OutgoingContext;
  #absentLooks = 0;

  constructor(context: OutgoingContext) {
    this.#context = context;
  }

  /** Each step may be taken again, by the next agent too. */
  async step(local: LocalView, signal: AbortSignal): Promise<Ending | undefined> {
    const { hypervisor, transfers } = this.#context.options;
    const uid = this.#context.record.vmUid;
    this.#absentLooks = local === 'absent' ? this.#absentLooks + 1 : 0;
    switch (local) {
      case 'unreachable':
        return undefined;
      case 'migrating':
        await transfers.remove(this.#context.id, this.#context.brief(signal));
        return undefined;
      case 'holds-pages':
        await this.#noteMemoryLost();
        this.#context.log.warn('Half of a VM is left, and its power is cut');
        // Whose it is cannot be changed before: libvirt does nothing else to a half.
        await hypervisor.domains.destroy(uid, this.#context.brief(signal));
        return undefined;
      case 'absent':
        if (this.#absentLooks < ABSENT_LOOKS) return undefined;
        return await this.#defineAgain(signal);
      default:
        // So that nothing of this migration reaches the destination any more.
        await transfers.remove(this.#context.id, this.#context.brief(signal));
        await this.#claim(signal);
        if (local === 'held') return await this.#letGoOn(signal);
        return 'stayed';
    }
  }

  async #letGoOn(signal: AbortSignal): Promise<Ending | undefined> {
    const { options, record, log } = this.#context;
    try {
      await options.hypervisor.domains.resume(record.vmUid, this.#context.brief(signal));
      log.warn('A VM was held by a switchover that is not waited for any more; it runs on here');
      return 'stayed';
    } catch (error) {
      signal.throwIfAborted();
      // Where locks hold between nodes, a copy that is not off after all keeps its disks.
      if (!(error instanceof AgentError)) throw error;
      if (await this.#isElsewhere(signal)) return undefined;
      this.#context.noteWaiting(
        `It is held still, as it cannot go on here: ${error.message}. Make sure that node ${record.peerNode} is off; it is tried again and again`,
      );
      return undefined;
    }
  }

  /** Whether a node has the VM that did not answer before the word counted. Then it is given up here. */
  async #isElsewhere(signal: AbortSignal): Promise<boolean> {
    const { options, record, log } = this.#context;
    const { vmUid: uid, vmNamespace: namespace, vmName: name, ownershipEpoch } = record;
    const answers = await options.locator.ask(uid, signal);
    const beyond = findBeyond(answers, ownershipEpoch + 1);
    if (beyond === undefined) return false;
    log.warn(
      { peer: beyond.nodeName },
      'Another node has a VM that was taken back; it is given up',
    );
    await options.ownership.release(
      { uid, namespace, name },
      beyond.ownershipEpoch,
      beyond.nodeName,
    );
    return true;
  }

  /**
   * It had left, and its disks are where they were: it is defined again, off, as it was. Its manifest alone would give it a disk
   * below a snapshot that somebody had taken, and the newest data would be lost.
   */
  async #defineAgain(signal: AbortSignal): Promise<Ending | undefined> {
    const { options, record, log } = this.#context;
    const { vmUid, definition, blueprint } = record;
    if (definition === undefined && blueprint === undefined) return 'lost';
    await this.#noteMemoryLost();
    log.warn('A VM had left for a node that is off for good; it is defined here again');
    const { domains } = options.hypervisor;
    const brief = this.#context.brief(signal);
    if (blueprint !== undefined) await domains.defineAgain(vmUid, blueprint, brief);
    else if (definition !== undefined) await domains.define(definition, brief);
    return undefined;
  }

  /** From here on no copy that the destination may have is the VM. */
  async #claim(signal: AbortSignal): Promise<void> {
    const { options, record } = this.#context;
    const { vmUid: uid, vmNamespace: namespace, vmName: name } = record;
    // The destination has one more than the source had.
    const ownershipEpoch = record.ownershipEpoch + 1;
    // Asked on, as the word may be wrong: by another one the destination may have moved the VM on.
    const heard = { fromNode: record.peerNode, migrationId: record.id, isSettled: true };
    await options.ownership.own({ uid, namespace, name, ownershipEpoch }, heard);
    const brief = this.#context.brief(signal);
    await options.hypervisor.domains.setFacts(uid, { ownershipEpoch }, brief);
  }

  async #noteMemoryLost(): Promise<void> {
    const { options, id, otherNodeOff } = this.#context;
    if (otherNodeOff === undefined || otherNodeOff.memoryLost) return;
    await options.book.noteOtherNodeOff(id, { ...otherNodeOff, memoryLost: true });
  }
}
