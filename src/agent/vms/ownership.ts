import { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import { tidy } from '../journal/tidy.ts';
import type { OwnershipRecord, OwnershipStore, Unconfirmed } from './ownership-store.ts';
import { commandNameOf } from './vm-words.ts';

/** What of a definition says whose it is. */
type OwnedCopy = Pick<VmDefinition, 'uid' | 'namespace' | 'name' | 'ownershipEpoch' | 'owner'>;

/**
 * Who owns which VM, as far as this node knows. Asked from memory, so that nothing can come between a question and what
 * is done upon it; each change is on the disk before it is in memory and before its promise resolves.
 */
export class Ownership {
  readonly #store: OwnershipStore;
  /** The newest comes last. */
  readonly #records: Map<string, OwnershipRecord>;
  /** Empty until it is known; until then no copy is a stray one. */
  #hostUuid = '';

  private constructor(store: OwnershipStore, records: readonly OwnershipRecord[]) {
    this.#store = store;
    this.#records = new Map(records.map((record) => [record.uid, record]));
  }

  static async load(store: OwnershipStore): Promise<Ownership> {
    await tidy(() => store.prune());
    return new Ownership(store, await store.list());
  }

  /** Asks which host this is, once. Must be awaited before it is asked whether a copy is a stray one. */
  async learnHost(host: Pick<HypervisorHost, 'getInfo'>, signal: AbortSignal): Promise<void> {
    if (this.#hostUuid === '') this.#hostUuid = (await host.getInfo(signal)).hostUuid;
  }

  /** What is known of a VM; undefined if nothing is. */
  find(vmUid: string): OwnershipRecord | undefined {
    return this.#records.get(vmUid);
  }

  /** The newest of what is known of VMs of a name; undefined if nothing is. */
  findByName(namespace: string, name: string): OwnershipRecord | undefined {
    return [...this.#records.values()].findLast(
      (record) => record.namespace === namespace && record.name === name,
    );
  }

  /** This host's UUID; empty until it is known. */
  get hostUuid(): string {
    return this.#hostUuid;
  }

  /** What is known of a VM that this node owns as far as it knows, be there a copy of it or not; undefined of any other. */
  findOwned(vmUid: string): OwnershipRecord | undefined {
    const record = this.#records.get(vmUid);
    return record?.left === undefined && record?.isDeleted === false ? record : undefined;
  }

  /** All VMs that this node owns as far as it knows. */
  listOwned(): readonly OwnershipRecord[] {
    return [...this.#records.keys()]
      .map((uid) => this.findOwned(uid))
      .filter((one) => one !== undefined);
  }

  isOwner(vmUid: string): boolean {
    return this.findOwned(vmUid) !== undefined;
  }

  /**
   * The epoch that a VM gets when it is made here: the one that a control plane has assigned, else the next one. Fails
   * with VM_NOT_OWNED unless it is higher than the one that the VM has left this node with, or if it is lower than any
   * that is known here.
   */
  epochOfNew({ uid, name }: Pick<VmDefinition, 'uid' | 'name'>, assigned?: number): number {
    const known = this.#records.get(uid);
    if (known === undefined) return assigned ?? 1;
    const lowest = known.left === undefined ? known.ownershipEpoch : known.left.epoch + 1;
    const epoch = assigned ?? (known.left === undefined ? known.ownershipEpoch + 1 : 1);
    if (epoch >= lowest) return epoch;
    const owner = known.left?.toNode;
    throw new AgentError(
      'VM_NOT_OWNED',
      owner === undefined
        ? `Cannot create VM ${name}: it has had epoch ${known.ownershipEpoch} on this node, and ${epoch} is lower; assign it a higher one`
        : `Cannot create VM ${name}: node ${owner} owns it since epoch ${known.left?.epoch}; use the VM there, or, once it is gone from there for good, assign an ownership epoch of at least ${lowest}`,
      { metadata: { vmId: uid, ...(owner === undefined ? {} : { owner }) } },
    );
  }

  /** This node owns the VM since the definition's epoch; `unconfirmed` unless the node before is known to have given it up. */
  async own(
    definition: Pick<VmDefinition, 'uid' | 'namespace' | 'name' | 'ownershipEpoch'>,
    unconfirmed?: OwnershipRecord['unconfirmed'],
  ): Promise<void> {
    await this.#put({
      uid: definition.uid,
      namespace: definition.namespace,
      name: definition.name,
      ownershipEpoch: definition.ownershipEpoch,
      left: undefined,
      isDeleted: false,
      ...(unconfirmed !== undefined && { unconfirmed }),
    });
  }

  /** What is waited for before a VM that came here may be started or moved on; undefined if nothing is. */
  unconfirmed(vmUid: string): OwnershipRecord['unconfirmed'] {
    const unconfirmed = this.unheardOf(vmUid);
    return unconfirmed?.isSettled === true ? undefined : unconfirmed;
  }

  /** Whose word has not been heard, also if somebody has said that it is not to be waited for. */
  unheardOf(vmUid: string): OwnershipRecord['unconfirmed'] {
    return this.findOwned(vmUid)?.unconfirmed;
  }

  /** Whether a VM is this node's by somebody's word only, which the other node has not borne out. */
  isSettled(vmUid: string): boolean {
    return this.unheardOf(vmUid)?.isSettled === true;
  }

  /** By somebody's word the node that a VM came from is off for good. It is asked on, as the word may be wrong. Repeating it is fine. */
  async settle(vmUid: string): Promise<void> {
    const owned = this.findOwned(vmUid);
    if (owned?.unconfirmed === undefined || owned.unconfirmed.isSettled === true) return;
    await this.own(owned, { ...owned.unconfirmed, isSettled: true });
  }

  /** The node that a VM came from answers, and knows nothing of it. */
  noteForgotten(vmUid: string): void {
    const owned = this.findOwned(vmUid);
    if (owned?.unconfirmed === undefined) return;
    // In its place: nothing has become newer.
    this.#records.set(vmUid, {
      ...owned,
      unconfirmed: { ...owned.unconfirmed, isForgotten: true },
    });
  }

  /** The node that a VM came from has given it up. Repeating it is fine. */
  async confirm(vmUid: string): Promise<void> {
    const owned = this.findOwned(vmUid);
    if (owned?.unconfirmed !== undefined) await this.own(owned);
  }

  /** Another node owns the VM since `epoch`. */
  async release(
    vm: Pick<VmDefinition, 'uid' | 'namespace' | 'name'>,
    epoch: number,
    node: string,
  ): Promise<void> {
    await this.#put({
      uid: vm.uid,
      namespace: vm.namespace,
      name: vm.name,
      ownershipEpoch: epoch,
      left: { epoch, toNode: node },
      isDeleted: false,
    });
  }

  /**
   * For a VM that is deleted. It is remembered for a while; what is remembered about one that has left outlives any copy
   * here.
   */
  async forget(definition: OwnedCopy): Promise<void> {
    const { uid, namespace, name, ownershipEpoch } = definition;
    const left = this.#records.get(uid)?.left;
    if (left !== undefined && (ownershipEpoch <= left.epoch || this.isStray(definition))) return;
    await this.#put({ uid, namespace, name, ownershipEpoch, left: undefined, isDeleted: true });
    for (const pruned of await this.#store.prune()) {
      // It may have been made again meanwhile.
      if (this.#records.get(pruned)?.isDeleted === true) this.#records.delete(pruned);
    }
  }

  /** Puts back what was known of a VM before it was to be made here. */
  async restore(vmUid: string, record: OwnershipRecord | undefined): Promise<void> {
    await this.#store.restore(vmUid, record);
    if (record === undefined) this.#records.delete(vmUid);
    else this.#records.set(vmUid, record);
  }

  /** Whether a copy of a VM is older than one that another node was given. Such a copy must never run. */
  isStale(definition: VmDefinition): boolean {
    const left = this.#records.get(definition.uid)?.left;
    return left !== undefined && definition.ownershipEpoch < left.epoch;
  }

  /**
   * Whether a copy says that another host owns it, and nothing is known here to the contrary: a definition that was
   * copied, restored or left behind. Such a copy must not be started. One that runs may be the only one, so unlike a
   * stale copy it is left alone. A host whose UUID has changed goes on owning what it is known to own: without one in its
   * firmware libvirt makes up a new one at every start.
   */
  isStray(definition: OwnedCopy): boolean {
    const { owner, uid, ownershipEpoch } = definition;
    if (owner === '' || this.#hostUuid === '' || owner === this.#hostUuid) return false;
    const record = this.#records.get(uid);
    return !(this.isOwner(uid) && (record?.ownershipEpoch ?? -1) >= ownershipEpoch);
  }

  /** Whether a copy that is here is not this node's, be it stale or stray. */
  isUnowned(definition: VmDefinition): boolean {
    return this.isStale(definition) || this.isStray(definition);
  }

  /** Whether a copy says that this host owns it with an epoch that is not recorded here. */
  isUnrecorded({ uid, owner, ownershipEpoch }: OwnedCopy): boolean {
    if (owner === '' || owner !== this.#hostUuid) return false;
    return (this.#records.get(uid)?.ownershipEpoch ?? 0) < ownershipEpoch;
  }

  /** Must be called before anything that makes a VM run. Fails with VM_NOT_OWNED. */
  assertOwned(definition: VmDefinition): void {
    if (this.isStray(definition)) throw this.#stray(definition);
    if (!this.isStale(definition)) return;
    const left = this.#records.get(definition.uid)?.left;
    throw new AgentError(
      'VM_NOT_OWNED',
      `Cannot run VM ${definition.name} here: node ${left?.toNode} owns it since epoch ${left?.epoch}, this copy has epoch ${definition.ownershipEpoch}; use the VM there, and ${howToDeleteCopy(definition)}`,
      { metadata: { vmId: definition.uid, owner: left?.toNode ?? '' } },
    );
  }

  /** Why a VM may be neither started nor moved on yet, for people: another node may have it. Undefined if it may. */
  doubtOf(definition: OwnedCopy): string | undefined {
    const unconfirmed = this.unconfirmed(definition.uid);
    if (unconfirmed !== undefined) return whyUnconfirmed(unconfirmed);
    return this.isUnrecorded(definition) && hasMoved(definition)
      ? 'it is not recorded here, and the other nodes are asked whether they have it; try again'
      : undefined;
  }

  /** Must be called before a VM is started that is off: the node that it came from may have taken it back. Fails with VM_BUSY. */
  assertConfirmed(definition: OwnedCopy): void {
    const why = this.doubtOf(definition);
    if (why === undefined) return;
    throw new AgentError('VM_BUSY', `Cannot start VM ${definition.name}: ${why}`, {
      metadata: { vmId: definition.uid },
      retryAfterMs: 1_000,
    });
  }

  #stray({ uid, name, owner }: VmDefinition): AgentError {
    return new AgentError(
      'VM_NOT_OWNED',
      `Cannot run VM ${name} here: its definition says that host ${owner} owns it, and this is host ${this.#hostUuid}; use the copy there, or, if that host has none, delete this definition and create the VM here`,
      { metadata: { vmId: uid, owner } },
    );
  }

  async #put(record: OwnershipRecord): Promise<void> {
    if (!(await this.#store.put(record))) return;
    this.#records.delete(record.uid);
    this.#records.set(record.uid, record);
  }
}

/** Whether a VM has been on more than one node, as far as its epoch tells: nobody can have taken back what never moved. */
export function hasMoved({ ownershipEpoch }: Pick<VmDefinition, 'ownershipEpoch'>): boolean {
  return ownershipEpoch > 1;
}

/** How to be rid of a copy that this node does not own, to go on after a comma or a semicolon. */
export function howToDeleteCopy(definition: Pick<VmDefinition, 'namespace' | 'name'>): string {
  return `delete this copy with novactl vm delete ${commandNameOf(definition)} --unowned-copy`;
}

/** What is waited for, and what to do where that would be for ever. */
export function whyUnconfirmed({ fromNode, migrationId, isForgotten }: Unconfirmed): string {
  if (migrationId === '') {
    return `its record on this node was lost, and another node may have the VM by now: ${fromNode} has not said that it does not, and is asked again and again. If it has, delete the copy here; a node that is off for good is taken out of \`peers\` in the configuration of this node's agent, which is then restarted`;
  }
  if (isForgotten === true) {
    return `node ${fromNode}, where it came from, answers, and knows nothing of it any more: it may have taken the VM back, and deleted it or moved it on since. Make sure that no other node has the VM, and that it was not deleted; then: novactl migration settle ${migrationId} --node-is-off ${fromNode}`;
  }
  return `node ${fromNode}, where it came from, has not said yet that it has given it up, and is asked again and again; if that node is off for good: novactl migration settle ${migrationId} --node-is-off ${fromNode}`;
}
