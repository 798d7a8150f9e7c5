import { AgentError } from '../../core/errors.ts';
import type { Vm } from './vm.ts';

/** What this node has for VMs in all. */
export interface Capacity {
  readonly cpus: number;
  readonly memoryBytes: number;
}

/** Memory set aside for a VM that does not run yet: one being created, started or still arriving. */
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
    const on = vms.filter((vm) => vm.phase !== 'stopped' && vm.phase !== 'failed');
    const counted = new Set(on.map((vm) => vm.definition.uid));
    const ofVms = on.reduce((sum, vm) => sum + vm.definition.spec.memory.sizeBytes, 0);
    const reserved = [...this.#reservations.values()]
      .filter((reservation) => !counted.has(reservation.vmUid))
      .reduce((sum, reservation) => sum + reservation.memoryBytes, 0);
    return ofVms + reserved;
  }

  /** Sets memory aside. Fails with NODE_CAPACITY_EXCEEDED, saying what is left. Reserving again for a VM replaces. */
  reserve(reservation: Reservation, vms: readonly Vm[]): void {
    this.assertRoom(reservation, vms);
    this.keep(reservation);
  }

  /** Sets memory aside without asking whether there is room: what was promised stays promised. */
  keep(reservation: Reservation): void {
    this.#reservations.set(reservation.vmUid, reservation);
  }

  /** Fails as `reserve` would. Changes nothing. */
  assertRoom(reservation: Reservation, vms: readonly Vm[]): void {
    const isOther = (vm: Vm): boolean => vm.definition.uid !== reservation.vmUid;
    const own = this.#reservations.get(reservation.vmUid)?.memoryBytes ?? 0;
    const free = this.capacity.memoryBytes - this.allocatedBytes(vms.filter(isOther)) + own;
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
