import { withPreset } from '../../core/resources/os-preset.ts';
import { parseVirtualMachine } from '../../core/resources/parse-virtual-machine.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import { hasEnded, type OperationRecord } from '../operations/operation.ts';
import type { PhaseReport } from './vm-phase.ts';
import { newDefinition } from './wanted-definition.ts';
import { setUserDataApart } from './wanted-user-data.ts';

/** It may be asked for only until the next listing. */
const REMEMBERED = 1_000;

/** The VMs that operations are to make, so that they can be told of from when they are asked for. */
export class Creations {
  /** What those become that go on, by operation. */
  readonly #open = new Map<string, VmDefinition>();
  /** By the VM's uid, the newest last. */
  readonly #failures = new Map<string, PhaseReport>();

  constructor(open: readonly OperationRecord[]) {
    for (const record of open) this.note(record);
  }

  /** An operation has begun, come to another step or ended. */
  note(record: OperationRecord): void {
    const { id, kind, vm } = record;
    if (kind !== 'create' && kind !== 'apply') return;
    if (!hasEnded(record)) {
      const definition = this.#open.get(id) ?? definitionOf(record);
      // A change of some fields makes no VM.
      if (definition === undefined) return;
      this.#open.set(id, definition);
      this.#failures.delete(vm.uid);
      return;
    }
    this.#open.delete(id);
    this.#failures.delete(vm.uid);
    const failure = failureOf(record);
    if (failure !== undefined) this.#failures.set(vm.uid, failure);
    for (const uid of this.#failures.keys()) {
      if (this.#failures.size <= REMEMBERED) break;
      this.#failures.delete(uid);
    }
  }

  /** VMs that are being made, if they are not there already, as they shall be. Costs nothing. */
  list(): Iterable<VmDefinition> {
    return this.#open.values();
  }

  /** What the last creation or change of a VM has failed by; undefined if it has not. Costs nothing. */
  failureOf(vmUid: string): PhaseReport | undefined {
    return this.#failures.get(vmUid);
  }
}

function definitionOf({
  vm,
  parameters,
  requestedAtMs,
}: OperationRecord): VmDefinition | undefined {
  const { updateMask } = parameters;
  if (updateMask !== undefined) return undefined;
  try {
    const { wanted } = setUserDataApart(
      withPreset(parseVirtualMachine(parameters['manifest'])).wanted,
    );
    return { ...newDefinition(wanted, ''), ...vm, createdAtMs: requestedAtMs };
  } catch {
    // Whoever does it says what is wrong with it.
    return undefined;
  }
}

function failureOf({ state, error }: OperationRecord): PhaseReport | undefined {
  if (state === 'succeeded') return undefined;
  const reason = state === 'failed' ? 'CreationFailed' : 'CreationCancelled';
  return { phase: 'failed', reason, message: error?.message ?? '' };
}
