import { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { Ownership } from './ownership.ts';
import type { DeleteOptions, DeleteOutcome, Vm, VmRef } from './vm.ts';
import type { VmInventory } from './vm-inventory.ts';
import type { VmLocator } from './vm-locator.ts';
import { commandNameOf } from './vm-words.ts';

/** A VM whose migration goes on, and the node that it comes from or goes to. */
export interface MovingVm {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly role: 'source' | 'destination';
  readonly peerNode: string;
}

export interface WhereaboutsOptions {
  readonly ownership: Pick<Ownership, 'find' | 'findByName' | 'isUnowned'>;
  readonly inventory: Pick<VmInventory, 'findByUid' | 'assertAbsent'>;
  readonly listMoving: () => readonly MovingVm[];
  readonly locator: Pick<VmLocator, 'ask'>;
}

type Trace =
  | {
      /** `leaving`: its migration has not ended, and nobody knows yet how it will. */
      readonly kind: 'arriving' | 'leaving' | 'left';
      readonly vmUid: string;
      readonly node: string;
    }
  /** It was here, and somebody else than the agent has removed or moved it. */
  | { readonly kind: 'gone'; readonly vmUid: string }
  | { readonly kind: 'deleted' | 'never-here' };

const RETRY_AFTER_MS = 1_000;
const GONE = 'it was here, and was removed or moved by other means than this agent';

/** What this node can say of VMs that are not here. */
export class Whereabouts {
  readonly #options: WhereaboutsOptions;

  constructor(options: WhereaboutsOptions) {
    this.#options = options;
  }

  /** The node that a VM has gone to from here; undefined if it is not known to have. */
  movedTo(vmUid: string): string | undefined {
    return this.#options.ownership.find(vmUid)?.left?.toNode;
  }

  /**
   * What it means to delete a VM that is not here. Fails with VM_NOT_OWNED if it is another node's, or at one, with VM_BUSY
   * until it is known whose it is, and with VM_UID_MISMATCH if its uid has another name here.
   */
  async deletionOf(ref: VmRef, signal: AbortSignal): Promise<Exclude<DeleteOutcome, 'deleted'>> {
    const { inventory } = this.#options;
    inventory.assertAbsent(ref);
    const other = ref.uid === undefined ? undefined : inventory.findByUid(ref.uid)?.definition;
    if (other !== undefined) {
      throw new AgentError(
        'VM_UID_MISMATCH',
        `Cannot delete VM ${ref.name}: the uid ${other.uid} is that of VM ${other.namespace}/${other.name}`,
        { metadata: { vmId: other.uid } },
      );
    }
    const trace = this.#trace(ref);
    switch (trace.kind) {
      case 'left':
      case 'arriving':
        throw new AgentError(
          'VM_NOT_OWNED',
          `Cannot delete VM ${ref.name}: ${hereabouts(trace)}, which owns it; delete it there`,
          { metadata: { vmId: trace.vmUid, owner: trace.node } },
        );
      case 'leaving':
        throw new AgentError('VM_BUSY', `Cannot delete VM ${ref.name}: ${hereabouts(trace)}`, {
          metadata: { vmId: trace.vmUid },
          retryAfterMs: RETRY_AFTER_MS,
        });
      case 'never-here':
        return 'never-here';
      case 'gone':
        await this.#assertNowhere({ uid: trace.vmUid, name: ref.name }, GONE, signal);
        return 'already-deleted';
      default:
        return 'already-deleted';
    }
  }

  /**
   * Must be called before a VM is deleted of which libvirt says that it was migrated away by other means than the agents. Fails
   * with VM_NOT_OWNED if a node has it, and with PEER_UNREACHABLE if one may have it that cannot be asked.
   */
  async assertNotMovedAway({ definition }: Vm, signal: AbortSignal): Promise<void> {
    await this.#assertNowhere(
      definition,
      'libvirt says that it was migrated away by other means than this agent',
      signal,
    );
  }

  /** The uid of a VM that this node owns and that somebody else has removed or moved; undefined if it is here, or forgotten. */
  findGone(ref: VmRef): string | undefined {
    const trace = this.#trace(ref);
    return trace.kind === 'gone' ? trace.vmUid : undefined;
  }

  async #assertNowhere(
    vm: Pick<VmDefinition, 'uid' | 'name'>,
    why: string,
    signal: AbortSignal,
  ): Promise<void> {
    const silent = await this.#assertNotElsewhere(vm, signal);
    if (silent === '') return;
    throw new AgentError(
      'PEER_UNREACHABLE',
      `Cannot delete VM ${vm.name}: ${why}, and node ${silent} cannot be asked whether it has the VM; delete it on its new node, or try again once that node answers`,
      { metadata: { vmId: vm.uid }, retryAfterMs: RETRY_AFTER_MS },
    );
  }

  /**
   * Must be called before a copy that is here is deleted. Fails with VM_NOT_OWNED if it is what a VM has left behind that
   * another node owns by now, unless just that is wanted, and with INVALID_REQUEST if that is wanted of another VM.
   */
  assertDeletable(definition: VmDefinition, { unownedCopy = false }: DeleteOptions): void {
    const { ownership } = this.#options;
    const { uid, name } = definition;
    const isUnowned = ownership.isUnowned(definition);
    if (unownedCopy && !isUnowned) {
      throw new AgentError(
        'INVALID_REQUEST',
        `Cannot delete a copy of VM ${name} that this node does not own: it owns the VM; leave out unowned_copy to delete the VM itself`,
        { metadata: { vmId: uid } },
      );
    }
    const owner = this.movedTo(uid);
    if (unownedCopy || !isUnowned || owner === undefined) return;
    throw new AgentError(
      'VM_NOT_OWNED',
      `Cannot delete VM ${name}: it has moved to node ${owner}, which owns it; delete it there. To remove only the copy that is left here, set unowned_copy (novactl vm delete ${commandNameOf(definition)} --unowned-copy)`,
      { metadata: { vmId: uid, owner } },
    );
  }

  /** Why `what` cannot be done to a VM that is not here, and where the VM is if that is known. */
  notFound(ref: VmRef, what: string): AgentError {
    const { namespace, name } = ref;
    const trace = this.#trace(ref);
    const movedToNode = trace.kind === 'left' ? { movedToNode: trace.node } : {};
    const byUid = this.#options.inventory.findByUid(name)?.definition;
    const advice =
      byUid === undefined
        ? 'list the VMs to see what is here'
        : `it is the uid of VM ${byUid.namespace}/${byUid.name}, which is to be named by its name`;
    return new AgentError(
      'VM_NOT_FOUND',
      `Cannot ${what} VM ${name} in namespace ${namespace} on this node${trace.kind === 'never-here' ? '' : `: ${hereabouts(trace)}`}; ${advice}`,
      { metadata: { namespace, name, ...movedToNode } },
    );
  }

  /** Returns the nodes that could not be asked, for people. */
  async #assertNotElsewhere(
    { uid, name }: Pick<VmDefinition, 'uid' | 'name'>,
    signal: AbortSignal,
  ): Promise<string> {
    const answers = await this.#options.locator.ask(uid, signal);
    const holder = answers.find(({ presence }) => presence === 'held')?.peer.nodeName;
    if (holder !== undefined) {
      throw new AgentError(
        'VM_NOT_OWNED',
        `Cannot delete VM ${name}: it was moved to node ${holder} by other means than this agent, and is that node's once its agent has asked for it; delete it there`,
        { metadata: { vmId: uid, owner: holder } },
      );
    }
    return answers
      .filter(({ presence }) => presence !== 'absent')
      .map(({ peer }) => peer.nodeName)
      .join(', ');
  }

  #trace({ namespace, name, uid }: VmRef): Trace {
    const { ownership, listMoving } = this.#options;
    const isMeant = (vm: MovingVm) =>
      uid === undefined ? vm.namespace === namespace && vm.name === name : vm.uid === uid;
    const moving = listMoving().find(isMeant);
    const known = uid === undefined ? ownership.findByName(namespace, name) : ownership.find(uid);
    // Recorded before its migration has quite ended.
    if (known?.left !== undefined && moving?.role !== 'destination') {
      return { kind: 'left', vmUid: known.uid, node: known.left.toNode };
    }
    if (moving !== undefined) {
      const kind = moving.role === 'source' ? 'leaving' : 'arriving';
      return { kind, vmUid: moving.uid, node: moving.peerNode };
    }
    if (known === undefined) return { kind: 'never-here' };
    return known.isDeleted ? { kind: 'deleted' } : { kind: 'gone', vmUid: known.uid };
  }
}

function hereabouts(trace: Trace): string {
  switch (trace.kind) {
    case 'left':
      return `it has moved to node ${trace.node}`;
    case 'arriving':
      return `it is still arriving from node ${trace.node}`;
    case 'leaving':
      return `its migration to node ${trace.node} has not ended`;
    case 'deleted':
      return 'it was deleted';
    case 'gone':
      return GONE;
    default:
      return '';
  }
}
