import { AgentError } from '../../core/errors.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { memoryBytesOf, vcpusOf } from '../../core/resources/machine-amounts.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { ForeignVm } from '../vms/foreign-vms.ts';
import { nameKey } from '../vms/name-key.ts';
import { namesText, type UnreadVm } from '../vms/unread-vms.ts';
import type { Vm } from '../vms/vm.ts';
import { isOff } from '../vms/vm-phase.ts';
import { amountsOf, amountText, DEDICATED_CPUS, findShortage, sumOf } from './amounts.ts';
import type { Amounts, Reservation } from './node.ts';
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
  /** Those that could not be read yet, ours or perhaps ours: they count with what the hypervisor says that they have. */
  readonly listUnread: () => readonly UnreadVm[];
  /** Those that no agent has made and that are on. */
  readonly listForeign: () => readonly ForeignVm[];
  /** Whether a start of a VM that is off was asked for: its memory is promised, though it is given later. Must cost nothing. */
  readonly isStarting?: (vmUid: string) => boolean;
}

export interface MemoryAccount {
  readonly allocatableBytes: number;
  readonly allocatedBytes: number;
  /** Part of what is allocated. */
  readonly foreignBytes: number;
}

/** Fields of a manifest that ask for a resource. */
const FIELDS: Readonly<Record<string, string>> = {
  memory: 'spec.template.spec.resources.memory',
  [DEDICATED_CPUS]: 'spec.template.spec.cpu.dedicated',
};

/** Keeps the promises made to VMs within what the node has. */
export class CapacityLedger {
  readonly capacity: Amounts;
  readonly allocatable: Amounts;
  readonly #options: CapacityLedgerOptions;
  readonly #holdings = new Map<string, Holding>();
  /** What VMs that are on are about to be. */
  readonly #growths = new Map<string, Machine>();
  /** What machines take that are listed again and again; none of them is ever changed, only replaced. */
  readonly #known = new WeakMap<Machine, Amounts>();

  constructor(options: CapacityLedgerOptions) {
    this.capacity = options.capacity;
    this.allocatable = options.allocatable;
    this.#options = options;
  }

  /** Promised to VMs that run or may run, to those that are about to, and to reservations; and what others' VMs have. */
  allocated(): Amounts {
    return this.#allocated(() => true);
  }

  /** What the VMs have, as part of what is allocated, that no agent has made. */
  foreign(): Amounts {
    return sumOf(this.#foreignVms().map(amountsOfForeign));
  }

  /** In bytes, what VMs may have and what they have. */
  memory(): MemoryAccount {
    return this.memoryOf(this.allocated(), this.foreign());
  }

  /** The same of what has been asked before. */
  memoryOf(allocated: Amounts, foreign: Amounts): MemoryAccount {
    return {
      allocatableBytes: this.allocatable['memory'] ?? 0,
      allocatedBytes: allocated['memory'] ?? 0,
      foreignBytes: foreign['memory'] ?? 0,
    };
  }

  /**
   * Sets aside what a VM needs, if it is to be on, until disposed. Fails as `hold` does. With a reservation what is kept free
   * for it is used instead: fails with RESERVATION_NOT_FOUND if that is gone or for another VM.
   */
  setAside(
    definition: VmDefinition,
    options: { readonly reservationId: string | undefined; readonly isOn: boolean },
  ): Disposable {
    const { reservationId, isOn } = options;
    const { uid: vmUid, namespace, name } = definition;
    const amounts = isOn ? amountsOf(definition.spec.template.spec) : {};
    const holding = { vmUid, namespace, name, amounts };
    if (reservationId === undefined) this.#assertNameFree(holding);
    else this.#options.reservations.assertFor(reservationId, definition);
    this.#assertEnough(holding);
    this.keep(holding);
    return { [Symbol.dispose]: () => this.release(vmUid) };
  }

  /**
   * Sets aside what a VM that is on is about to be given beside what it has, until disposed; from when it is listed with that on it
   * counts by itself. What it will have only after its next start needs no room yet. Fails with NODE_CAPACITY_EXCEEDED.
   */
  setAsideGrowth(vm: Vm, wanted: Machine): Disposable {
    const { uid: vmUid, namespace, name } = vm.definition;
    const amounts = amountsOf(withGrowth(runningMachineOf(vm), wanted, vm.sizes));
    const before = this.#amountsInForce(vm);
    const isMore = Object.entries(amounts).some(([key, amount]) => amount > (before[key] ?? 0));
    if (isOff(vm) || !isMore) return { [Symbol.dispose]: () => {} };
    this.#assertEnough({ vmUid, namespace, name, amounts });
    this.#growths.set(vmUid, wanted);
    return { [Symbol.dispose]: () => void this.#growths.delete(vmUid) };
  }

  /**
   * Sets an amount aside. Fails with NODE_CAPACITY_EXCEEDED, saying what is left, and with VM_BUSY if a reservation keeps the
   * name for another VM. Holding again for a VM replaces.
   */
  hold(holding: Holding): void {
    this.assertRoom(holding);
    this.keep(holding);
  }

  /** Sets an amount aside without asking whether there is room: what was promised stays promised. */
  keep(holding: Holding): void {
    this.#holdings.set(holding.vmUid, holding);
  }

  /** Fails as `hold` would. Changes nothing. */
  assertRoom(holding: Holding): void {
    this.#assertNameFree(holding);
    this.#assertEnough(holding);
  }

  /** Whether a VM of this node that is off could be started now. */
  hasRoom({ uid, namespace, name, spec }: VmDefinition): boolean {
    const amounts = amountsOf(spec.template.spec);
    return this.#findShortage({ vmUid: uid, namespace, name, amounts }) === undefined;
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

  #assertNameFree({ vmUid, namespace, name }: Holding): void {
    const { reservations, listVms } = this.#options;
    const other = reservations.findByName(namespace, name);
    if (other === undefined || other.vm.uid === vmUid) return;
    // It was used up for this one; the agent was killed before it could forget it.
    if (listVms().some(({ definition }) => definition.uid === vmUid)) return;
    throw new AgentError(
      'VM_BUSY',
      `Cannot use the name ${namespace}/${name}: reservation ${other.id} keeps it for a VM to come; create the VM with that reservation, or release it`,
      { metadata: { reservationId: other.id, namespace, name } },
    );
  }

  #findShortage({ vmUid, namespace, name, amounts }: Holding) {
    const others = this.#allocated(
      (vm) => vm.uid !== vmUid && (vm.namespace !== namespace || vm.name !== name),
    );
    return findShortage(amounts, others, this.allocatable);
  }

  #assertEnough(holding: Holding): void {
    const { vmUid, name } = holding;
    const shortage = this.#findShortage(holding);
    if (shortage === undefined) return;
    const { resource, wanted, left } = shortage;
    const asked = amountText(resource, wanted, 'up');
    const free = amountText(resource, left, 'down');
    const whole = amountText(resource, this.allocatable[resource] ?? 0, 'down');
    const needs = resource === 'memory' ? ', with what QEMU needs for itself' : '';
    throw new AgentError(
      'NODE_CAPACITY_EXCEEDED',
      `Cannot give VM ${name} ${asked} of ${resource}${needs}: this node has ${free} left of ${whole}${this.#takenByOthers(resource)}; choose another node, ask for less, or stop VMs here`,
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

  /** Who has the rest is to be told where it is not seen in a list of our VMs. */
  #takenByOthers(resource: string): string {
    const vms = this.#foreignVms().filter((vm) => (amountsOfForeign(vm)[resource] ?? 0) > 0);
    if (vms.length === 0) return '';
    const amount = amountText(resource, this.foreign()[resource] ?? 0, 'up');
    return `, of which VMs that were not made by an agent have ${amount} (${namesText(vms)})`;
  }

  /** What is set aside for one that is about to be ours counts for it. */
  #foreignVms(): readonly ForeignVm[] {
    return this.#options.listForeign().filter(({ uid }) => !this.#holdings.has(uid));
  }

  /** Of the VMs that are `counted`, each of them once: as it is, else as it is about to be, else as it is reserved. */
  #allocated(counted: (vm: Identity) => boolean): Amounts {
    const { listVms, listUnread, reservations, isStarting = () => false } = this.#options;
    const vms = listVms();
    // Those that could not be read count with the unread ones: what they have is not in their definitions.
    const on = vms.filter((vm) => vm.isRead && (!isOff(vm) || isStarting(vm.definition.uid)));
    const uidsOn = new Set(on.map(({ definition }) => definition.uid));
    const held = [...this.#holdings.values()].filter(({ vmUid }) => !uidsOn.has(vmUid));
    const reserved = withoutNamesOf(reservations.list(), [
      ...vms.map(({ definition }) => definition),
      ...held,
    ]);
    return sumOf([
      ...on.filter(({ definition }) => counted(definition)).map((vm) => this.#amountsInForce(vm)),
      ...held
        .filter(({ vmUid, namespace, name }) => counted({ uid: vmUid, namespace, name }))
        .map(({ amounts }) => amounts),
      ...listUnread()
        .filter(({ uid }) => !this.#holdings.has(uid))
        .map(({ memoryBytes = 0 }) => ({ memory: memoryBytes })),
      ...this.#foreignVms().map(amountsOfForeign),
      ...reserved.filter(({ vm }) => counted(vm)).map(({ amounts }) => amounts),
    ]);
  }

  /** What a VM has, or is about to be given while it runs; whatever else it shall have at its next start. */
  #amountsInForce(vm: Vm): Amounts {
    const { definition, hugepages, sizes } = vm;
    const machine = runningMachineOf(vm);
    // One that was adopted has them beside its manifest.
    if (hugepages !== undefined) return amountsOf({ ...machine, memory: { hugepages } });
    const wanted = this.#growths.get(definition.uid) ?? definition.spec.template.spec;
    const grown = wanted === machine ? machine : withGrowth(machine, wanted, sizes);
    const amounts = this.#known.get(grown) ?? amountsOf(grown);
    this.#known.set(grown, amounts);
    return amounts;
  }
}

function runningMachineOf({ definition, liveDefinition }: Vm): Machine {
  return (liveDefinition ?? definition).spec.template.spec;
}

/** What runs, with what of it is to be more and can be while it runs. */
function withGrowth(machine: Machine, wanted: Machine, sizes: Vm['sizes']): Machine {
  if (sizes === undefined) return machine;
  const [hasBytes, bytes] = [memoryBytesOf(machine), memoryBytesOf(wanted)];
  const [hasCpus, cpus] = [vcpusOf(machine), vcpusOf(wanted)];
  const growsMemory = bytes > hasBytes && bytes <= sizes.memory.mostBytes;
  const growsCpus = cpus > hasCpus && cpus <= sizes.vcpus.most;
  if (!growsMemory && !growsCpus) return machine;
  const resources = {
    ...machine.resources,
    ...(growsMemory && { memory: wanted.resources.memory }),
    ...(growsCpus && { cpu: wanted.resources.cpu }),
  };
  return { ...machine, resources };
}

type Identity = Reservation['vm'];

function withoutNamesOf(
  reservations: readonly Reservation[],
  taken: readonly Pick<Holding, 'namespace' | 'name'>[],
): readonly Reservation[] {
  // Asked every two seconds, mostly where nothing is reserved.
  if (reservations.length === 0) return reservations;
  const names = new Set(taken.map(nameKey));
  return reservations.filter(({ vm }) => !names.has(nameKey(vm)));
}

/** Others' VMs are QEMU's as well, and may come to have all that they were given. */
function amountsOfForeign({ vcpus, memoryBytes, hugepages }: ForeignVm): Amounts {
  const resources = { cpu: String(vcpus), memory: String(memoryBytes) };
  return amountsOf(hugepages === undefined ? { resources } : { resources, memory: { hugepages } });
}
