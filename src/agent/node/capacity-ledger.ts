import { AgentError } from '../../core/errors.ts';
import { formatBytesQuantity } from '../../core/quantity.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { Vm } from '../vms/vm.ts';
import { amountsOf, findShortage, sumOf } from './amounts.ts';
import type { Amounts } from './node.ts';
import type { ReservationBook } from './reservation-book.ts';

/** An amount set aside for a VM that does not run yet: one being created, started or still arriving. */
export interface Holding {
  readonly vmUid: string;
  readonly namespace: string;
  readonly name: string;
  readonly amounts: Amounts;
}

export interface CapacityLedgerOptions {
  readonly capacity: Amounts;
  readonly allocatable: Amounts;
  readonly reservations: ReservationBook;
  /** The VMs as last listed; none before they were. Must cost nothing. */
  readonly listVms: () => readonly Vm[];
}

/** Fields of a manifest that ask for a resource. */
const FIELDS: Readonly<Record<string, string>> = {
  memory: 'spec.template.spec.resources.memory',
};

/** Keeps the promises made to VMs within what the node has. */
export class CapacityLedger {
  readonly capacity: Amounts;
  readonly allocatable: Amounts;
  readonly #options: CapacityLedgerOptions;
  readonly #holdings = new Map<string, Holding>();
  /** Reservations that a VM is being made from. */
  readonly #inUse = new Set<string>();

  constructor(options: CapacityLedgerOptions) {
    this.capacity = options.capacity;
    this.allocatable = options.allocatable;
    this.#options = options;
  }

  /** Promised to VMs that run or may run, to those that are about to, and to reservations. */
  allocated(): Amounts {
    return this.#allocatedWithout('');
  }

  /**
   * Sets aside what a VM needs, if it is to be on, until disposed. Fails with NODE_CAPACITY_EXCEEDED, and with VM_BUSY if the
   * name is set aside for another reservation's VM. With a reservation what is kept free for it is used instead: fails with
   * RESERVATION_NOT_FOUND if that is gone or for another VM.
   */
  setAside(
    definition: VmDefinition,
    options: { readonly reservationId: string | undefined; readonly isOn: boolean },
  ): Disposable {
    const { reservations } = this.#options;
    const { reservationId, isOn } = options;
    const { uid, namespace, name } = definition;
    if (reservationId !== undefined) reservations.assertFor(reservationId, definition);
    else reservations.assertNameFree(definition);
    const amounts = isOn ? amountsOf(definition.spec.template.spec) : {};
    if (reservationId !== undefined) this.#inUse.add(reservationId);
    const undo = (): void => {
      this.release(uid);
      if (reservationId !== undefined) this.#inUse.delete(reservationId);
    };
    try {
      this.hold({ vmUid: uid, namespace, name, amounts });
    } catch (error) {
      undo();
      throw error;
    }
    return { [Symbol.dispose]: undo };
  }

  /** Sets an amount aside. Fails with NODE_CAPACITY_EXCEEDED, saying what is left. Holding again for a VM replaces. */
  hold(holding: Holding): void {
    this.assertRoom(holding);
    this.keep(holding);
  }

  /** Sets an amount aside without asking whether there is room: what was promised stays promised. */
  keep(holding: Holding): void {
    this.#holdings.set(holding.vmUid, holding);
  }

  /** Fails as `hold` would. Changes nothing. */
  assertRoom({ vmUid, name, amounts }: Holding): void {
    const shortage = findShortage(amounts, this.#allocatedWithout(vmUid), this.allocatable);
    if (shortage === undefined) return;
    const { resource, wanted, left } = shortage;
    const all = this.allocatable[resource] ?? 0;
    const [asked, free, whole] = [wanted, left, all].map((bytes) =>
      formatBytesQuantity(BigInt(Math.floor(bytes / 2 ** 20)) * 2n ** 20n),
    );
    throw new AgentError(
      'NODE_CAPACITY_EXCEEDED',
      `Cannot give VM ${name} ${asked} of ${resource}, with what QEMU needs for itself: this node has ${free} left of ${whole}; choose another node, ask for less, or stop VMs here`,
      {
        metadata: { vmId: vmUid, resource },
        violations: [
          {
            field: FIELDS[resource] ?? 'spec.template.spec.memory.hugepages',
            description: `needs ${asked} of ${resource}, of which this node has ${free} left`,
          },
        ],
      },
    );
  }

  release(vmUid: string): void {
    this.#holdings.delete(vmUid);
  }

  /** Something set aside under a VM's name; undefined if nothing is. */
  findHolding(namespace: string, name: string): Holding | undefined {
    return [...this.#holdings.values()].find(
      (holding) => holding.namespace === namespace && holding.name === name,
    );
  }

  #allocatedWithout(vmUid: string): Amounts {
    const { listVms, reservations } = this.#options;
    const on = listVms().filter(
      ({ phase, definition }) =>
        phase !== 'stopped' && phase !== 'failed' && definition.uid !== vmUid,
    );
    const counted = new Set(on.map(({ definition }) => definition.uid));
    const held = [...this.#holdings.values()].filter(
      (holding) => !counted.has(holding.vmUid) && holding.vmUid !== vmUid,
    );
    const reserved = reservations.list().filter(({ id }) => !this.#inUse.has(id));
    return sumOf([
      ...on.map(({ definition }) => amountsOf(definition.spec.template.spec)),
      ...held.map(({ amounts }) => amounts),
      ...reserved.map(({ amounts }) => amounts),
    ]);
  }
}
