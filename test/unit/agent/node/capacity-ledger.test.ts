import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { amountsOf } from '../../../../src/agent/node/amounts.ts';
import { CapacityLedger, type Holding } from '../../../../src/agent/node/capacity-ledger.ts';
import { ReservationBook } from '../../../../src/agent/node/reservation-book.ts';
import { ReservationStore } from '../../../../src/agent/node/reservation-store.ts';
import type { ForeignVm } from '../../../../src/agent/vms/foreign-vms.ts';
import type { Vm } from '../../../../src/agent/vms/vm.ts';
import { createLogger } from '../../../../src/core/logger.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import { MemoryJournal } from '../../../fakes/memory-journal.ts';
import { definitionOf, MIB, machineOf, vmOf } from './vms-of-a-node.ts';

/** What a VM of 64Mi takes. */
const SMALL = amountsOf(machineOf('64Mi'))['memory'] ?? 0;
const exceeded = { reason: 'NODE_CAPACITY_EXCEEDED' };
const OFF = { reservationId: undefined, isOn: false };
const ON = { reservationId: undefined, isOn: true };

/** A ledger of a node with room for two small VMs. */
class Books implements Disposable {
  readonly #journal: MemoryJournal;
  readonly reservations: ReservationBook;
  readonly ledger: CapacityLedger;
  vms: readonly Vm[] = [];
  foreign: readonly ForeignVm[] = [];
  starting: readonly string[] = [];

  private constructor(journal: MemoryJournal, reservations: ReservationBook) {
    this.#journal = journal;
    this.reservations = reservations;
    const allocatable = {
      cpu: 1_000,
      memory: 2 * SMALL,
      'hugepages-2Mi': 64 * MIB,
      'dedicated-cpus': 1,
    };
    this.ledger = new CapacityLedger({
      capacity: { ...allocatable, memory: 3 * SMALL },
      allocatable,
      reservations,
      listVms: () => this.vms,
      listUnread: () => [],
      listForeign: () => this.foreign,
      isStarting: (uid) => this.starting.includes(uid),
    });
  }

  static async open(): Promise<Books> {
    const journal = new MemoryJournal();
    const store = new ReservationStore(journal.database);
    return new Books(journal, await ReservationBook.load(store, createLogger('silent')));
  }

  get memory(): number {
    return this.ledger.allocated()['memory'] ?? 0;
  }

  /** Reserves for a VM; one whose uid is not known yet, unless it is given. */
  async reserve(id: string, { namespace, name }: VmDefinition, uid?: string): Promise<void> {
    const vm = { namespace, name, uid };
    const amounts = amountsOf(machineOf('64Mi'));
    await this.reservations.add({ id, vm, amounts, ttlMs: 60_000 }, () => {});
  }

  [Symbol.dispose](): void {
    this.#journal[Symbol.dispose]();
  }
}

function small(changes: Partial<VmDefinition> = {}): VmDefinition {
  return definitionOf(machineOf('64Mi'), changes);
}

function alone(): VmDefinition {
  return definitionOf(machineOf('1Mi', { cpu: { dedicated: true } }));
}

function inPages(): VmDefinition {
  return definitionOf(machineOf('64Mi', { memory: { hugepages: '2Mi' } }));
}

function holdingFor({ uid, namespace, name, spec }: VmDefinition): Holding {
  return { vmUid: uid, namespace, name, amounts: amountsOf(spec.template.spec) };
}

test('VMs that run or may run are counted, those that are off are not', async () => {
  using books = await Books.open();
  const phases = ['running', 'paused', 'stopping', 'migrating', 'pending', 'unknown'] as const;
  books.vms = [...phases, 'stopped' as const, 'failed' as const].map((phase) =>
    vmOf(small(), phase),
  );
  assert.deepEqual(books.ledger.allocated(), { cpu: 6_000, memory: 6 * SMALL });
});

test('a VM counts with what it was started with, not with what it shall have at its next start', async () => {
  using books = await Books.open();
  const live = definitionOf(machineOf('128Mi'));
  books.vms = [vmOf(small({ uid: live.uid }), 'running', live)];
  assert.equal(books.memory, amountsOf(machineOf('128Mi'))['memory']);
});

test('what is set aside counts until it is given back, and once when the VM is on meanwhile', async () => {
  using books = await Books.open();
  const definition = small();
  {
    using _amount = books.ledger.setAside(definition, ON);
    assert.equal(books.memory, SMALL);
    books.vms = [vmOf(definition, 'running')];
    assert.equal(books.memory, SMALL);
    books.vms = [];
  }
  assert.equal(books.memory, 0);
});

test('a VM whose start was asked for is promised its memory', async () => {
  using books = await Books.open();
  const starting = small({ name: 'first' });
  const other = small({ name: 'other' });
  books.vms = [vmOf(starting, 'stopped'), vmOf(other, 'stopped'), vmOf(small(), 'running')];
  assert.ok(books.ledger.hasRoom(other));
  books.starting = [starting.uid];
  assert.equal(books.memory, 2 * SMALL);
  assert.ok(!books.ledger.hasRoom(other));
  assert.ok(books.ledger.hasRoom(starting));
});

test('a VM that is not to be on needs nothing', async () => {
  using books = await Books.open();
  books.vms = [vmOf(small(), 'running'), vmOf(small(), 'running')];
  using _amount = books.ledger.setAside(small(), OFF);
  assert.equal(books.memory, 2 * SMALL);
});

test('memory is never given twice, and a refusal says what is left and leaves nothing', async () => {
  using books = await Books.open();
  books.vms = [vmOf(small(), 'running')];
  using _first = books.ledger.setAside(small(), ON);
  const definition = small({ name: 'web' });
  assert.throws(() => books.ledger.setAside(definition, ON), {
    reason: 'NODE_CAPACITY_EXCEEDED',
    message:
      'Cannot give VM web 137Mi of memory, with what QEMU needs for itself: this node has 0 left of 272Mi; choose another node, ask for less, or stop VMs here',
    metadata: { vmId: definition.uid, resource: 'memory' },
    violations: [
      {
        field: 'spec.template.spec.resources.memory',
        description: 'needs 137Mi of memory, of which this node has 0 left',
      },
    ],
  });
  assert.equal(books.memory, 2 * SMALL);
});

test('a refusal gives back nothing that the VM already has', async () => {
  using books = await Books.open();
  const definition = small();
  books.ledger.hold(holdingFor(definition));
  const larger = definitionOf(machineOf('1Gi'), { uid: definition.uid, name: definition.name });
  assert.throws(() => books.ledger.setAside(larger, ON), exceeded);
  assert.equal(books.memory, SMALL);
});

test('huge pages are never given twice, and the refusal names their field', async () => {
  using books = await Books.open();
  using _first = books.ledger.setAside(inPages(), ON);
  const description = 'needs 64Mi of hugepages-2Mi, of which this node has 0 left';
  assert.throws(() => books.ledger.setAside(inPages(), ON), {
    reason: 'NODE_CAPACITY_EXCEEDED',
    violations: [{ field: 'spec.template.spec.memory.hugepages', description }],
  });
});

test('CPUs that a VM has for itself are never given twice', async () => {
  using books = await Books.open();
  using _first = books.ledger.setAside(alone(), ON);
  const description = 'needs 1 of dedicated-cpus, of which this node has 0 left';
  assert.throws(() => books.ledger.setAside(alone(), ON), {
    reason: 'NODE_CAPACITY_EXCEEDED',
    violations: [{ field: 'spec.template.spec.cpu.dedicated', description }],
  });
});

test('CPUs may be given more than once', async () => {
  using books = await Books.open();
  const machine = { resources: { cpu: '16', memory: '64Mi' } };
  using _amount = books.ledger.setAside(definitionOf(machine), ON);
  assert.equal(books.ledger.allocated()['cpu'], 16_000);
});

test('a VM that is on needs no room beside what it has', async () => {
  using books = await Books.open();
  const definition = small();
  books.vms = [vmOf(definition, 'running'), vmOf(small(), 'running')];
  books.ledger.assertRoom(holdingFor(definition));
  assert.throws(() => books.ledger.assertRoom(holdingFor(small())), exceeded);
});

test('what was promised stays promised, though there is no room', async () => {
  using books = await Books.open();
  books.vms = [vmOf(small(), 'running'), vmOf(small(), 'running')];
  const definition = small({ name: 'late' });
  books.ledger.keep(holdingFor(definition));
  assert.equal(books.memory, 3 * SMALL);
  assert.equal(books.ledger.findHolding('test', 'late')?.vmUid, definition.uid);
  books.ledger.release(definition.uid);
  assert.equal(books.ledger.findHolding('test', 'late'), undefined);
});

test('what is reserved is kept from others, and given to its VM', async () => {
  using books = await Books.open();
  books.vms = [vmOf(small(), 'running')];
  const definition = small({ name: 'web' });
  await books.reserve('r-1', definition);
  assert.equal(books.memory, 2 * SMALL);
  assert.throws(() => books.ledger.setAside(small(), ON), exceeded);
  using _amount = books.ledger.setAside(definition, { reservationId: 'r-1', isOn: true });
  assert.equal(books.memory, 2 * SMALL);
});

test('a VM that becomes larger than what is reserved for it needs room for the rest', async () => {
  using books = await Books.open();
  books.vms = [vmOf(small(), 'running')];
  const definition = definitionOf(machineOf('128Mi'), { name: 'web' });
  await books.reserve('r-1', definition);
  const reserved = { reservationId: 'r-1', isOn: true };
  assert.throws(() => books.ledger.setAside(definition, reserved), exceeded);
  books.vms = [];
  using _amount = books.ledger.setAside(definition, reserved);
  assert.equal(books.memory, amountsOf(machineOf('128Mi'))['memory']);
});

test('a reserved name is refused to every other VM, whether it is created or arrives', async () => {
  using books = await Books.open();
  const reserved = small({ name: 'web' });
  await books.reserve('r-1', reserved, reserved.uid);
  const other = small({ name: 'web' });
  const busy = {
    reason: 'VM_BUSY',
    metadata: { reservationId: 'r-1', namespace: 'test', name: 'web' },
  };
  assert.throws(() => books.ledger.setAside(other, ON), busy);
  assert.throws(() => books.ledger.setAside(other, OFF), busy);
  assert.throws(() => books.ledger.hold(holdingFor(other)), busy);
  books.ledger.hold(holdingFor(reserved));
  assert.equal(books.memory, SMALL);
});

test('a reservation of another VM, or of none, is refused', async () => {
  using books = await Books.open();
  const reserved = small({ name: 'web' });
  await books.reserve('r-1', reserved, reserved.uid);
  const useOf = (reservationId: string, definition: VmDefinition) => () =>
    books.ledger.setAside(definition, { reservationId, isOn: true });
  const unknown = { reason: 'RESERVATION_NOT_FOUND' };
  assert.throws(useOf('r-1', small({ name: 'db' })), unknown);
  assert.throws(useOf('r-1', small({ name: 'web' })), unknown);
  assert.throws(useOf('r-2', reserved), unknown);
  assert.equal(books.memory, SMALL);
});

test('a reservation that was not forgotten in time keeps nothing from its VM, nor counts beside it', async () => {
  using books = await Books.open();
  const definition = small({ name: 'web' });
  await books.reserve('r-1', definition);
  books.vms = [vmOf(definition, 'running')];
  assert.equal(books.memory, SMALL);
  books.vms = [vmOf(definition, 'stopped')];
  assert.equal(books.memory, 0);
  using _amount = books.ledger.setAside(definition, ON);
  assert.equal(books.memory, SMALL);
});

function foreign(memoryBytes: number, hugepages?: '2Mi'): ForeignVm {
  const uid = randomUUID();
  return { uid, hypervisorName: 'theirs', vcpus: 1, memoryBytes, hugepages };
}

test('VMs that no agent has made count with what QEMU needs for itself, and are told apart', async () => {
  using books = await Books.open();
  books.vms = [vmOf(small(), 'running')];
  books.foreign = [foreign(64 * MIB)];
  assert.deepEqual(books.ledger.allocated(), { cpu: 2_000, memory: 2 * SMALL });
  assert.deepEqual(books.ledger.foreign(), { cpu: 1_000, memory: SMALL });
});

test('a VM that was adopted counts with the huge pages that its manifest does not speak of', async () => {
  using books = await Books.open();
  books.vms = [{ ...vmOf(small(), 'running'), hugepages: '2Mi' }];
  assert.deepEqual(books.ledger.allocated(), {
    cpu: 1_000,
    memory: SMALL - 64 * MIB,
    'hugepages-2Mi': 64 * MIB,
  });
});

test('a VM for which they leave no room is refused, and they are named', async () => {
  using books = await Books.open();
  const vm = small();
  books.ledger.assertRoom(holdingFor(vm));
  books.foreign = [foreign(100 * MIB)];
  assert.throws(() => books.ledger.assertRoom(holdingFor(vm)), {
    ...exceeded,
    message: /VMs that were not made by an agent have .*Mi \(theirs \([0-9a-f-]{36}\)\)/,
  });
  // They have none of what they are not made of.
  books.foreign = [foreign(64 * MIB, '2Mi')];
  books.ledger.assertRoom(holdingFor(vm));
  assert.equal(books.ledger.foreign()['hugepages-2Mi'], 64 * MIB);
});

test('a VM that arrives counts as what was set aside for it, whatever it looks like meanwhile', async () => {
  using books = await Books.open();
  const vm = small();
  books.ledger.hold(holdingFor(vm));
  books.foreign = [{ ...foreign(64 * MIB), uid: vm.uid }];
  assert.equal(books.memory, SMALL);
});

const memory = (mostBytes: number) => ({ givenBytes: 64 * MIB, leastBytes: 0, mostBytes });

test('what a VM is about to be given while it runs has to be there, and counts from then on', async () => {
  using books = await Books.open();
  const before = small();
  const vcpus = { given: 1, least: 1, most: 1 };
  const vm: Vm = { ...vmOf(before, 'running'), sizes: { vcpus, memory: memory(512 * MIB) } };
  books.vms = [vm, vmOf(small(), 'running')];
  const [slightly, much] = [machineOf('65Mi'), machineOf('256Mi')];
  assert.throws(() => books.ledger.setAsideGrowth(vm, much), exceeded);
  books.vms = [vm];
  {
    using _growth = books.ledger.setAsideGrowth(vm, slightly);
    assert.equal(books.memory, amountsOf(slightly)['memory']);
  }
  assert.equal(books.memory, SMALL);
  // Once it is listed with it, it counts before the guest has it; and less counts when that was given back.
  const wanted = definitionOf(slightly, { uid: before.uid, name: before.name });
  books.vms = [{ ...vm, definition: wanted, liveDefinition: before }];
  assert.equal(books.memory, amountsOf(slightly)['memory']);
  books.vms = [{ ...vm, definition: before, liveDefinition: wanted }];
  assert.equal(books.memory, amountsOf(slightly)['memory']);
  // What it will only have after its next start needs no room yet.
  const fixed: Vm = { ...vm, sizes: { vcpus, memory: memory(64 * MIB) } };
  books.vms = [fixed];
  books.ledger.setAsideGrowth(fixed, much)[Symbol.dispose]();
  books.vms = [{ ...fixed, definition: wanted, liveDefinition: before }];
  assert.equal(books.memory, SMALL);
});
