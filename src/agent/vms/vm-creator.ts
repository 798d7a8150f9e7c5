import { randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { VmDefinition } from '../../core/vm-spec.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import type { OperationRecorder } from '../operations/operation-recorder.ts';
import type { CapacityLedger } from './capacity.ts';
import type { Ownership } from './ownership.ts';
import type { Vm, VmRequest } from './vm.ts';
import type { Origins, VmInventory } from './vm-inventory.ts';

export interface VmCreatorOptions {
  readonly hypervisor: Hypervisor;
  readonly inventory: VmInventory;
  readonly ownership: Ownership;
  readonly capacity: CapacityLedger;
  readonly origins: Origins;
  readonly locks: KeyLocks;
  /** Fails with INVALID_SPEC, IMAGE_NOT_FOUND and the like if the VM cannot work on this node. */
  readonly validate: (definition: VmDefinition, signal: AbortSignal) => Promise<void>;
  readonly recorder: OperationRecorder;
  readonly log: Logger;
}

const UNDO_TIMEOUT_MS = 15_000;
const EVERYTHING = { namespace: '', labels: {} };

/** Makes VMs, whole or not at all, and sees that there is room for them. Expects a fresh inventory. */
export class VmCreator {
  readonly #options: VmCreatorOptions;

  constructor(options: VmCreatorOptions) {
    this.#options = options;
  }

  /** Creating a VM that is there with the same uid and spec answers with it. */
  async create(
    request: VmRequest,
    options: { readonly dryRun: boolean },
    signal: AbortSignal,
  ): Promise<Vm> {
    const { inventory, validate, locks, capacity } = this.#options;
    const definition = newDefinition(request);
    const existing = this.#findExisting(definition, request.uid !== undefined);
    if (existing !== undefined) return existing;
    this.#options.ownership.assertOwned(definition);

    // The name is locked as well, or two VMs of one name could be created side by side.
    using nameLock = locks.tryAcquire(nameKey(definition), 'create');
    using uidLock = locks.tryAcquire(definition.uid, 'create');
    if (nameLock === undefined || uidLock === undefined) throw busy(definition);
    await validate(definition, signal);
    await this.#assertMachineType(definition, signal);
    await this.#assertUidFree(definition, signal);
    if (capacity.findReservation(definition.namespace, definition.name) !== undefined) {
      throw busy(definition);
    }
    using _reservation = this.reserve(definition);
    if (options.dryRun) return this.#planned(definition);
    await this.#options.recorder.record('create', definition.uid, () =>
      this.#make(definition, signal),
    );
    await inventory.refresh(signal);
    return inventory.findByUid(definition.uid) ?? this.#planned(definition);
  }

  /** Sets aside the memory of a VM if it shall run, until disposed. Fails with NODE_CAPACITY_EXCEEDED. */
  reserve({ uid, namespace, name, spec }: VmDefinition): Disposable {
    const { capacity, inventory } = this.#options;
    const memoryBytes = spec.powerState === 'running' ? spec.memory.sizeBytes : 0;
    capacity.reserve({ vmUid: uid, namespace, name, memoryBytes }, inventory.list(EVERYTHING));
    return { [Symbol.dispose]: () => capacity.release(uid) };
  }

  async #make(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { hypervisor, ownership, log } = this.#options;
    signal.throwIfAborted();
    await using undo = new AsyncDisposableStack();
    // Registered before the deed: a define that timed out may have happened all the same.
    undo.defer(() => this.#unmake(definition));
    await ownership.own(definition);
    await hypervisor.define(definition, signal);
    if (definition.spec.powerState === 'running') await hypervisor.start(definition.uid, signal);
    undo.move();
    log.info({ vmId: definition.uid, name: definition.name }, 'VM created');
  }

  async #unmake({ uid: vmUid, createdAtMs }: VmDefinition): Promise<void> {
    const { hypervisor, ownership, log } = this.#options;
    const signal = AbortSignal.timeout(UNDO_TIMEOUT_MS);
    try {
      const found = await hypervisor.find(vmUid, signal);
      // Whoever else has defined a VM of this uid in the meantime keeps it.
      if (found?.definition?.createdAtMs === createdAtMs) {
        await hypervisor.destroy(vmUid, signal);
        await hypervisor.undefine(vmUid, signal);
      }
      await ownership.forget(vmUid);
    } catch (error) {
      log.error({ vmId: vmUid, err: error }, 'Could not remove a VM whose creation failed');
    }
  }

  async #assertMachineType({ name, spec }: VmDefinition, signal: AbortSignal): Promise<void> {
    if (spec.machineType === undefined) return;
    const { machineTypes, qemuVersion } = await this.#options.hypervisor.getInfo(signal);
    if (machineTypes.includes(spec.machineType)) return;
    const field = 'spec.machine_type';
    const description = `is ${spec.machineType}, which QEMU ${qemuVersion} of this node does not have; leave it out or choose another node`;
    throw new AgentError(
      'FEATURE_NOT_SUPPORTED',
      `Cannot accept VM ${name}: ${field} ${description}`,
      {
        violations: [{ field, description }],
      },
    );
  }

  /** The inventory leaves out VMs that are not ours; defining over one of those would take it away from its owner. */
  async #assertUidFree(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const found = await this.#options.hypervisor.find(definition.uid, signal);
    if (found === undefined) return;
    throw new AgentError(
      'VM_ALREADY_EXISTS',
      `Cannot create VM ${definition.name}: the hypervisor has ${found.hypervisorName} with uid ${definition.uid}, which this agent does not manage; choose another uid`,
      { metadata: { vmId: definition.uid } },
    );
  }

  #findExisting(definition: VmDefinition, uidGiven: boolean): Vm | undefined {
    const { inventory } = this.#options;
    const existing =
      inventory.findByUid(definition.uid) ??
      inventory.findByName(definition.namespace, definition.name);
    if (existing === undefined) return undefined;
    if (uidGiven && sameVm(existing.definition, definition)) return existing;
    throw new AgentError(
      'VM_ALREADY_EXISTS',
      `Cannot create VM ${definition.name}: ${
        existing.definition.uid === definition.uid
          ? 'it exists with another spec'
          : `namespace ${definition.namespace} has a VM of that name with uid ${existing.definition.uid}`
      }; delete it first or choose another name`,
      { metadata: { vmId: existing.definition.uid } },
    );
  }

  #planned(definition: VmDefinition): Vm {
    return {
      definition,
      phase: 'pending',
      reason: 'DryRun',
      message: '',
      conditions: [],
      accelerator: undefined,
      machineType: '',
      statistics: undefined,
      migrationId: undefined,
      origin: this.#options.origins.current(),
    };
  }
}

function busy({ name }: VmDefinition): AgentError {
  return new AgentError(
    'VM_BUSY',
    `Cannot create VM ${name}: a VM of that name is being created or is arriving; try again when that has ended`,
    { metadata: { name }, retryAfterMs: 1_000 },
  );
}

function newDefinition(request: VmRequest): VmDefinition {
  return {
    namespace: request.namespace,
    name: request.name,
    uid: request.uid ?? randomUUID(),
    generation: 1,
    ownershipEpoch: 1,
    labels: request.labels,
    annotations: request.annotations,
    createdAtMs: Date.now(),
    spec: request.spec,
  };
}

/** Whether a repeated request means the VM that is there; being started or stopped since does not matter. */
function sameVm(existing: VmDefinition, wanted: VmDefinition): boolean {
  return (
    existing.uid === wanted.uid &&
    existing.namespace === wanted.namespace &&
    existing.name === wanted.name &&
    isDeepStrictEqual(
      { ...existing.spec, powerState: 'running' },
      { ...wanted.spec, powerState: 'running' },
    )
  );
}

function nameKey(definition: VmDefinition): string {
  return `${definition.namespace}/${definition.name}`;
}
