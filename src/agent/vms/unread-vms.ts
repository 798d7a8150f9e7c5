import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { auditLog, type Logger } from '../../core/logger.ts';
import { hypervisorNameOf } from '../../drivers/hypervisor-domains.ts';
import type { Identification } from './identification.ts';
import type { Vm, VmRef } from './vm.ts';

/** A VM of this node that could not be read since the agent started: nothing is known of it but what stands here. */
export interface UnreadVm {
  readonly uid: string;
  readonly hypervisorName: string;
  /** What it has of the node's memory; undefined if the hypervisor does not say. */
  readonly memoryBytes: number | undefined;
}

export interface UnreadVmsOptions {
  /** Whether this node owns a VM as far as it knows. Must cost nothing. */
  readonly isOwner: (vmUid: string) => boolean;
  readonly identification: Pick<Identification, 'isComplete' | 'accept'>;
  /** So long each is waited for; one that is stuck shall not keep the others from being seen. Default 10 s. */
  readonly patienceMs?: number | undefined;
  readonly log: Logger;
}

const PATIENCE_MS = 10_000;
/** The driver does not try more often. */
const RETRY_AFTER_MS = 5_000;
const MOST_NAMES = 5;

/** The VMs that nobody could read yet. None of them may be taken for absent, nor for somebody else's. */
export class UnreadVms {
  readonly #options: UnreadVmsOptions;
  #vms: readonly UnreadVm[] = [];
  /** Since when each is waited for, by the clock that nobody sets; undefined until the first listing. */
  #sinceMs: ReadonlyMap<string, number> | undefined;
  #hasSaidHeldUp = false;

  constructor(options: UnreadVmsOptions) {
    this.#options = options;
  }

  list(): readonly UnreadVm[] {
    return this.#vms;
  }

  /** Those that were waited for in vain and are not known to be this node's. */
  listUnidentified(): readonly UnreadVm[] {
    return this.#unowned().filter((vm) => this.#isOverdue(vm));
  }

  /** Takes those of a listing in the place of those of the one before. */
  put(vms: readonly UnreadVm[]): void {
    const nowMs = performance.now();
    this.#sinceMs = new Map(vms.map(({ uid }) => [uid, this.#sinceMs?.get(uid) ?? nowMs]));
    const before = this.#vms;
    this.#vms = vms;
    this.#tell(before);
  }

  /** Whether what has been read may be told as what there is. */
  mayBeLeftOut(): boolean {
    return this.#vms.every((vm) => this.#isOverdue(vm)) && !this.isHeldUp();
  }

  /** Whether nothing can be told, however long it takes: any that cannot be read may be this node's. */
  isHeldUp(): boolean {
    return !this.#options.identification.isComplete && this.listUnidentified().length > 0;
  }

  /**
   * Has the agent go on without knowing whose those are that are not known to be this node's, and returns those. If the
   * journal knows the owners of all that were here when it was begun, there are none to go on without. Fails with
   * STATE_NOT_READY while it is not known which VMs there are.
   */
  async accept(acceptedBy: string): Promise<readonly UnreadVm[]> {
    const { identification, log } = this.#options;
    if (identification.isComplete) return [];
    if (this.#sinceMs === undefined) {
      throw new AgentError(
        'STATE_NOT_READY',
        'Cannot go on without VMs that are not known: the hypervisor has not been listed since the agent started; check that libvirt runs',
        { retryAfterMs: RETRY_AFTER_MS },
      );
    }
    const accepted = this.#unowned();
    if (accepted.length === 0) return [];
    await identification.accept(acceptedBy);
    auditLog(log).warn(
      { acceptedBy, unidentified: namesOf(accepted) },
      'The agent goes on without knowing whether these VMs are of this node',
    );
    return accepted;
  }

  /** Must be called before a VM is said not to be here. Fails with STATE_NOT_READY if one that is unread may be it. */
  assertNotAmong(ref: VmRef): void {
    const wanted = hypervisorNameOf(ref);
    const found = this.#vms.find(
      ({ uid, hypervisorName }) => uid === ref.uid || hypervisorName === wanted,
    );
    if (found === undefined) return;
    throw notRead(`Cannot say whether VM ${ref.name} is on this node`, found);
  }

  #tell(before: readonly UnreadVm[]): void {
    const { log } = this.#options;
    const unread = namesOf(this.#vms);
    if (!isDeepStrictEqual(unread, namesOf(before))) {
      const ofUnknownSize = this.#vms.filter(({ memoryBytes }) => memoryBytes === undefined).length;
      if (unread.length === 0) log.info('All VMs have been read');
      else {
        log.warn(
          { unread, ofUnknownSize },
          'VMs cannot be read; the memory of those of unknown size is not counted',
        );
      }
    }
    const isHeldUp = this.isHeldUp();
    if (isHeldUp && !this.#hasSaidHeldUp) {
      log.warn(
        { unidentified: namesOf(this.listUnidentified()) },
        'The journal is new, so these VMs may be of this node: nothing is told of any VM until they are read, or somebody says "novactl node accept-unidentified"',
      );
    }
    this.#hasSaidHeldUp = isHeldUp;
  }

  #unowned(): readonly UnreadVm[] {
    return this.#vms.filter(({ uid }) => !this.#options.isOwner(uid));
  }

  #isOverdue({ uid }: UnreadVm): boolean {
    const sinceMs = this.#sinceMs?.get(uid);
    const { patienceMs = PATIENCE_MS } = this.#options;
    return sinceMs !== undefined && performance.now() - sinceMs >= patienceMs;
  }
}

/**
 * Must be called before anything is done to a VM, or concluded from its definition. Fails with STATE_NOT_READY if only what
 * is recorded of it is known.
 */
export function assertRead({ isRead, definition: { namespace, name, uid } }: Vm): void {
  if (isRead) return;
  const hypervisorName = hypervisorNameOf({ namespace, name });
  throw notRead(`Cannot do anything with VM ${name}`, { uid, hypervisorName });
}

/** For people: the first few of them, and how many there are. */
export function namesText(vms: readonly UnreadVm[]): string {
  const names = vms
    .slice(0, MOST_NAMES)
    .map(({ hypervisorName, uid }) => `${hypervisorName} (${uid})`);
  return `${names.join(', ')}${vms.length > MOST_NAMES ? ' and others' : ''}`;
}

function notRead(what: string, { uid, hypervisorName }: Omit<UnreadVm, 'memoryBytes'>): AgentError {
  return new AgentError(
    'STATE_NOT_READY',
    `${what}: libvirt has ${hypervisorName}, which it could not describe since the agent started; try again, and if it stays, look with "virsh dumpxml ${uid}" on the node for what it waits for`,
    { metadata: { vmId: uid }, retryAfterMs: RETRY_AFTER_MS },
  );
}

/** In an order that says nothing, so that only another set is another list. */
function namesOf(vms: readonly UnreadVm[]): readonly string[] {
  return vms.map(({ hypervisorName }) => hypervisorName).toSorted();
}
