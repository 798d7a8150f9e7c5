import { AgentError } from '../../core/errors.ts';
import type { Vm } from './vm.ts';

/** What this node has for VMs in all. */
export interface Capacity {
  readonly cpus: number;
  readonly memoryBytes: number;
}

/** Memory set aside for a VM that is not in the inventory: one being created or still arriving. */
export interface Reservation {
  readonly vmUid: string;
  readonly namespace: string;
  readonly name: string;
  readonly memoryBytes: number;
}

/** Keeps the promises made to VMs within what the node has. Memory is never promised twice; CPUs are shared. */
export class CapacityLedger {
  readonly capacity: Capacity;
  readonly #reservations = new Map<string, Reservation>();

  constructor(capacity: Capacity) {
    this.capacity = capacity;
  }

  /** Bytes promised to VMs that run or may run, and to reservations. */
  allocatedBytes(vms: readonly Vm[]): number {
    const present = new Set(vms.map((vm) => vm.definition.uid));
    const ofVms = vms
      .filter((vm) => vm.phase !== 'stopped' && vm.phase !== 'failed')
      .reduce((sum, vm) => sum + vm.definition.spec.memory.sizeBytes, 0);
    const reserved = [...this.#reservations.values()]
      .filter((reservation) => !present.has(reservation.vmUid))
      .reduce((sum, reservation) => sum + reservation.memoryBytes, 0);
    return ofVms + reserved;
  }

  /** Sets memory aside. Fails with NODE_CAPACITY_EXCEEDED, saying what is left. Reserving again for a VM replaces. */
  reserve(reservation: Reservation, vms: readonly Vm[]): void {
    const others = vms.filter((vm) => vm.definition.uid !== reservation.vmUid);
    this.#reservations.delete(reservation.vmUid);
    const free = this.capacity.memoryBytes - this.allocatedBytes(others);
    if (reservation.memoryBytes > free) {
      throw new AgentError(
        'NODE_CAPACITY_EXCEEDED',
        `Cannot give VM ${reservation.name} ${mebibytes(reservation.memoryBytes)} MiB of memory: this node has ${mebibytes(Math.max(0, free))} MiB left of ${mebibytes(this.capacity.memoryBytes)} MiB; choose another node or stop VMs here`,
        {
          metadata: { vmId: reservation.vmUid },
          violations: [
            {
              field: 'spec.memory.size_bytes',
              description: `at most ${Math.max(0, free)} bytes are left on this node`,
            },
          ],
        },
      );
    }
    this.#reservations.set(reservation.vmUid, reservation);
  }

  release(vmUid: string): void {
    this.#reservations.delete(vmUid);
  }

  findReservation(namespace: string, name: string): Reservation | undefined {
    return [...this.#reservations.values()].find(
      (reservation) => reservation.namespace === namespace && reservation.name === name,
    );
  }
}

function mebibytes(bytes: number): number {
  return Math.floor(bytes / 1024 ** 2);
}
