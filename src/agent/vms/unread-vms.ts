import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { hypervisorNameOf } from '../../drivers/hypervisor-domains.ts';
import type { VmRef } from './vm.ts';

/** A VM of this node that may be ours or not: its definition could not be read since the agent started. */
export interface UnreadVm {
  readonly uid: string;
  readonly hypervisorName: string;
  /** What it has of the node's memory; undefined if the hypervisor does not say. */
  readonly memoryBytes: number | undefined;
}

/** So long everything waits for all to be read; one that is stuck shall not keep the others from being seen. */
const PATIENCE_MS = 10_000;
/** The driver does not try more often. */
const RETRY_AFTER_MS = 5_000;

/** The VMs that nothing is known of but that they are there. None of them may be taken for absent. */
export class UnreadVms {
  readonly #patienceMs: number;
  readonly #log: Logger;
  #vms: readonly UnreadVm[] = [];
  #firstAtMs: number | undefined;

  constructor(options: { readonly patienceMs: number | undefined; readonly log: Logger }) {
    this.#patienceMs = options.patienceMs ?? PATIENCE_MS;
    this.#log = options.log;
  }

  list(): readonly UnreadVm[] {
    return this.#vms;
  }

  /** Takes those of a listing in the place of those of the one before. */
  put(vms: readonly UnreadVm[]): void {
    this.#firstAtMs ??= performance.now();
    const names = namesOf(vms);
    const before = namesOf(this.#vms);
    this.#vms = vms;
    if (isDeepStrictEqual(names, before)) return;
    if (vms.length === 0) return this.#log.info('All VMs have been read');
    const ofUnknownSize = vms.filter(({ memoryBytes }) => memoryBytes === undefined).length;
    this.#log.warn(
      { unread: names, ofUnknownSize },
      'VMs cannot be read: whether they are ours is not known, and the memory of those of unknown size is not counted',
    );
  }

  /** Whether what has been read may be told as what there is: all are read, or have been waited for long enough. */
  mayBeLeftOut(): boolean {
    if (this.#vms.length === 0) return true;
    return this.#firstAtMs !== undefined && performance.now() - this.#firstAtMs >= this.#patienceMs;
  }

  /** Must be called before a VM is said not to be here. Fails with STATE_NOT_READY if one that is unread may be it. */
  assertNotAmong(ref: VmRef): void {
    const wanted = hypervisorNameOf(ref);
    const found = this.#vms.find(
      ({ uid, hypervisorName }) => uid === ref.uid || hypervisorName === wanted,
    );
    if (found === undefined) return;
    throw new AgentError(
      'STATE_NOT_READY',
      `Cannot say whether VM ${ref.name} is on this node: libvirt has ${found.hypervisorName}, which it could not describe since the agent started; try again, and if it stays, look with "virsh dumpxml ${found.uid}" on the node for what it waits for`,
      { metadata: { vmId: found.uid }, retryAfterMs: RETRY_AFTER_MS },
    );
  }
}

/** In an order that says nothing, so that only another set is another list. */
function namesOf(vms: readonly UnreadVm[]): readonly string[] {
  return vms.map(({ hypervisorName }) => hypervisorName).toSorted();
}
