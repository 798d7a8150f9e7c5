import { AgentError } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { VmStore } from '../journal/vm-store.ts';

/** Who owns which VM, as far as this node knows; each change is durable when the method returns. */
export class Ownership {
  readonly #store: VmStore;

  constructor(store: VmStore) {
    this.#store = store;
  }

  /** This node owns the VM since the definition's epoch. */
  own(definition: VmDefinition): void {
    this.#store.put({
      uid: definition.uid,
      namespace: definition.namespace,
      name: definition.name,
      ownershipEpoch: definition.ownershipEpoch,
      left: undefined,
    });
  }

  /** Another node owns the VM since `epoch`. */
  release(vm: Pick<VmDefinition, 'uid' | 'namespace' | 'name'>, epoch: number, node: string): void {
    this.#store.put({
      uid: vm.uid,
      namespace: vm.namespace,
      name: vm.name,
      ownershipEpoch: epoch,
      left: { epoch, toNode: node },
    });
  }

  /** For a VM that is deleted. What is remembered about one that has left is kept: it outlives any copy here. */
  forget(vmUid: string): void {
    if (this.#store.find(vmUid)?.left === undefined) this.#store.remove(vmUid);
  }

  /** Whether a copy of a VM is older than one that another node was given. Such a copy must never run. */
  isStale(definition: VmDefinition): boolean {
    const left = this.#store.find(definition.uid)?.left;
    return left !== undefined && definition.ownershipEpoch < left.epoch;
  }

  /** Must be called before anything that makes a VM run. Fails with VM_NOT_OWNED. */
  assertOwned(definition: VmDefinition): void {
    if (!this.isStale(definition)) return;
    const left = this.#store.find(definition.uid)?.left;
    throw new AgentError(
      'VM_NOT_OWNED',
      `Cannot run VM ${definition.name} here: node ${left?.toNode} owns it since epoch ${left?.epoch}, this copy has epoch ${definition.ownershipEpoch}; use the copy there`,
      { metadata: { vmId: definition.uid, owner: left?.toNode ?? '' } },
    );
  }
}
