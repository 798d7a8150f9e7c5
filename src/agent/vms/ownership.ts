import { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import type { OwnershipRecord, OwnershipStore } from './ownership-store.ts';

/**
 * Who owns which VM, as far as this node knows. Asked from memory, so that nothing can come between a question and what
 * is done upon it; each change is on the disk before it is in memory and before its promise resolves.
 */
export class Ownership {
  readonly #store: OwnershipStore;
  readonly #records: Map<string, OwnershipRecord>;
  /** Empty until it is known; until then no copy is a stray one. */
  #hostUuid = '';

  private constructor(store: OwnershipStore, records: readonly OwnershipRecord[]) {
    this.#store = store;
    this.#records = new Map(records.map((record) => [record.uid, record]));
  }

  static async load(store: OwnershipStore): Promise<Ownership> {
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

  /** This node owns the VM since the definition's epoch. */
  async own(definition: VmDefinition): Promise<void> {
    await this.#put({
      uid: definition.uid,
      namespace: definition.namespace,
      name: definition.name,
      ownershipEpoch: definition.ownershipEpoch,
      left: undefined,
    });
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
    });
  }

  /** For a VM that is deleted. What is remembered about one that has left is kept: it outlives any copy here. */
  async forget(vmUid: string): Promise<void> {
    if (this.#records.get(vmUid)?.left !== undefined) return;
    await this.#store.remove(vmUid);
    this.#records.delete(vmUid);
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
  isStray(definition: VmDefinition): boolean {
    const { owner, uid, ownershipEpoch } = definition;
    if (owner === '' || this.#hostUuid === '' || owner === this.#hostUuid) return false;
    const record = this.#records.get(uid);
    const isOurs = record?.left === undefined && (record?.ownershipEpoch ?? -1) >= ownershipEpoch;
    return !isOurs;
  }

  /** Must be called before anything that makes a VM run. Fails with VM_NOT_OWNED. */
  assertOwned(definition: VmDefinition): void {
    if (this.isStray(definition)) throw this.#stray(definition);
    if (!this.isStale(definition)) return;
    const left = this.#records.get(definition.uid)?.left;
    throw new AgentError(
      'VM_NOT_OWNED',
      `Cannot run VM ${definition.name} here: node ${left?.toNode} owns it since epoch ${left?.epoch}, this copy has epoch ${definition.ownershipEpoch}; use the copy there`,
      { metadata: { vmId: definition.uid, owner: left?.toNode ?? '' } },
    );
  }

  #stray({ uid, name, owner }: VmDefinition): AgentError {
    return new AgentError(
      'VM_NOT_OWNED',
      `Cannot run VM ${name} here: its definition says that host ${owner} owns it, and this is host ${this.#hostUuid}; use the copy there, or, if that host has none, delete this definition and create the VM here`,
      { metadata: { vmId: uid, owner } },
    );
  }

  async #put(record: OwnershipRecord): Promise<void> {
    if (await this.#store.put(record)) this.#records.set(record.uid, record);
  }
}
