import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { AgentError, hasReason } from '../../../../src/core/errors.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import type { HypervisorMigration } from '../../../../src/drivers/hypervisor-jobs.ts';
import {
  CpuPlacement,
  choose,
  type NodeCpus,
} from '../../../../src/drivers/libvirt/cpu-placement.ts';
import { DefinitionCache } from '../../../../src/drivers/libvirt/definition-cache.ts';
import type { DomainRecord } from '../../../../src/drivers/libvirt/domain-statistics.ts';
import { buildDomainXml } from '../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import { DriverCalls } from '../../../../src/drivers/libvirt/driver-calls.ts';
import type { DriverSupervisor } from '../../../../src/drivers/libvirt/driver-supervisor.ts';
import { toMigrationCall } from '../../../../src/drivers/libvirt/migration-call.ts';
import type { OperationName, OperationResult } from '../../../../src/drivers/libvirt/operations.ts';
import { definition, machine, tcgOptions } from '../../../fixtures/domain-xml/definitions.ts';

const NONE = new Set<number>();
const SHARED = [0, 1];

function made(edit: (xml: string) => string = (xml) => xml): DomainDocument {
  const wanted = definition({}, { cpu: { dedicated: true } });
  return DomainDocument.parse(edit(buildDomainXml(wanted, tcgOptions)));
}

test('CPUs that are free are chosen, those first that it has had before', () => {
  assert.deepEqual(choose([2, 3, 4, 5], 2, NONE, []), [2, 3]);
  assert.deepEqual(choose([2, 3, 4, 5], 2, new Set([2]), []), [3, 4]);
  assert.deepEqual(choose([2, 3, 4, 5], 2, NONE, [5, 4]), [5, 4]);
  assert.deepEqual(choose([2, 3, 4, 5], 3, new Set([4]), [5, 4, 9]), [5, 2, 3]);
  // One that both of its CPUs were held to by hand.
  assert.deepEqual(choose([2, 3], 2, NONE, [2, 2]), [2, 3]);
  assert.equal(choose([2, 3], 2, new Set([3]), []), undefined);
});

test('each of its CPUs is held to one of the host, and the rest of it to those that are shared', () => {
  const placed = made().withPlacement({ shared: SHARED, pins: [4, 2] });
  assert.deepEqual(placed.pinnedCpus, [4, 2]);
  assert.match(placed.toString(), /<vcpu placement='static' cpuset='0-1'>2<\/vcpu>/);
  assert.deepEqual(placed.drift, []);
  assert.equal(
    placed.withPlacement({ shared: SHARED, pins: [4, 2] }).toString(),
    placed.toString(),
  );
  assert.deepEqual(placed.withPlacement({ shared: SHARED, pins: [5] }).pinnedCpus, [5]);
  const shares = placed.withMachine(machine(), tcgOptions);
  assert.deepEqual(shares.pinnedCpus, []);
  assert.doesNotMatch(shares.toString(), /cputune/);
});

test('what somebody has tuned beside that stays', () => {
  const tune = "<cputune><vcpupin vcpu='1' cpuset='2-3'/><shares>5</shares></cputune>";
  const tuned = made((xml) => xml.replace('<os>', `${tune}<os>`));
  assert.deepEqual(tuned.pinnedCpus, [2, 3]);
  const placed = tuned.withPlacement({ shared: SHARED, pins: [6, 7] });
  assert.deepEqual(new Set(placed.pinnedCpus), new Set([6, 7]));
  assert.match(placed.withMachine(machine(), tcgOptions).toString(), /<cputune>\s*<shares>5/);
  assert.deepEqual(tuned.withPlacement({ shared: SHARED, pins: [] }).pinnedCpus, [2, 3]);
});

test('what moves is no longer held to the CPUs of this host, unless somebody else has said which', () => {
  const placed = made().withPlacement({ shared: SHARED, pins: [] });
  assert.equal(placed.withoutPlacement().toString(), made().toString());
  assert.equal(made().withoutPlacement().toString(), made().toString());
  const byHand = made((xml) =>
    xml.replace("placement='static'", "placement='static' cpuset='0-1'"),
  );
  assert.equal(byHand.withoutPlacement().toString(), byHand.toString());
  const since = DomainDocument.parse(placed.toString().replace("cpuset='0-1'", "cpuset='3'"));
  assert.match(since.withoutPlacement().toString(), /<vcpu placement='static' cpuset='3'>/);
  const copy = DomainDocument.parse(placed.toString().replace(/<uuid>.{4}/, '<uuid>0000'));
  assert.equal(copy.withoutPlacement().toString(), copy.toString());
});

test('which CPUs an agent has said stays known when the manifest and the facts change', () => {
  const placed = made().withPlacement({ shared: SHARED, pins: [] });
  const changed = placed.withDefinition(definition()).withFacts({ intent: 'off' });
  assert.doesNotMatch(changed.withoutPlacement().toString(), /cpuset|sharedCpus/);
});

test('a VM takes no CPUs along to another node, whatever is set apart there or here by then', () => {
  const xml = made()
    .withPlacement({ shared: [0, 3], pins: [] })
    .toString();
  const request: HypervisorMigration = {
    transport: { kind: 'stream', destinationSocket: '/a', memorySocket: '/b' },
    mode: 'precopy',
    copiedVolumes: [],
    destinationFacts: {},
    disks: [],
    maxDowntimeMs: 300,
    bandwidthBytesPerSecond: undefined,
  };
  const { nvramPath } = tcgOptions;
  const call = toMigrationCall({ live: xml, persistent: xml }, request, { nvramPath });
  for (const sent of [call.destinationXml, call.persistentXml]) {
    assert.doesNotMatch(sent, /cpuset|sharedCpus/);
  }
});

const never = new AbortController().signal;
const ALONE = { cpu: { dedicated: true } } as const;
const CPUS: NodeCpus = { dedicated: [2, 3, 4, 5], shared: [0, 1] };

/** libvirt with domains of two virtual CPUs. */
class Libvirt implements Pick<DriverSupervisor, 'call'> {
  /** As they are defined. */
  readonly xmls = new Map<string, string>();
  /** As they run. */
  readonly live = new Map<string, string>();
  /** As they were when their memory was saved; undefined where the file cannot be read. */
  readonly saved = new Map<string, string | undefined>();
  /** Uids that are asked about in vain. */
  readonly sick = new Set<string>();
  cpus: NodeCpus | undefined = CPUS;
  /** What starts wait for. */
  gate: Promise<void> = Promise.resolve();
  listingGate: Promise<void> = Promise.resolve();
  begun = 0;
  listings = 0;
  reads = 0;
  mostReads = 0;
  readonly #placement: CpuPlacement;

  constructor() {
    const cache = new DefinitionCache();
    const calls = new DriverCalls(this, cache, 10_000);
    this.#placement = new CpuPlacement({ driver: this, calls, cache, cpus: () => this.cpus });
  }

  add(machineOf: Partial<Machine> = ALONE, edit: (xml: string) => string = (xml) => xml): string {
    const uid = randomUUID();
    const xml = edit(buildDomainXml(definition({ uid }, machineOf), tcgOptions));
    this.xmls.set(uid, xml);
    return uid;
  }

  /** Defined with what a start some time ago has given it. */
  addPlaced(pins: readonly number[], machineOf: Partial<Machine> = ALONE): string {
    const uid = this.add(machineOf);
    const placed = this.document(uid).withPlacement({ shared: SHARED, pins });
    this.xmls.set(uid, placed.toString());
    return uid;
  }

  document(uid: string): DomainDocument {
    return DomainDocument.parse(this.xmls.get(uid) ?? '');
  }

  switchOn(uid: string): void {
    const xml = this.saved.get(uid) ?? this.xmls.get(uid) ?? '';
    this.saved.delete(uid);
    this.live.set(uid, xml.replace('<domain ', "<domain id='7' "));
  }

  async start(uid: string, signal = never): Promise<readonly number[]> {
    await this.#placement.start(
      uid,
      async () => {
        this.begun += 1;
        await this.gate;
        this.switchOn(uid);
      },
      signal,
    );
    return DomainDocument.parse(this.live.get(uid) ?? '').pinnedCpus;
  }

  async call<Name extends OperationName>(
    operation: Name,
    values: readonly unknown[],
  ): Promise<OperationResult<Name>> {
    return (await this.#answer(operation, values)) as OperationResult<Name>;
  }

  async #answer(operation: OperationName, [uid, , xml]: readonly unknown[]): Promise<unknown> {
    const id = String(uid);
    if (operation === 'list') {
      this.listings += 1;
      await this.listingGate;
      return [...this.xmls.keys()].map((one) => recordOf(one, this.live.has(one) ? 1 : undefined));
    }
    if (operation === 'define') {
      this.xmls.set(id, String(xml));
      return undefined;
    }
    if (operation === 'findXml') {
      this.reads += 1;
      this.mostReads = Math.max(this.mostReads, this.reads);
      await new Promise(setImmediate);
      this.reads -= 1;
      if (this.sick.has(id)) throw new AgentError('HYPERVISOR_TIMEOUT', 'No answer in time');
      return this.live.get(id) ?? this.xmls.get(id);
    }
    assert.equal(operation, 'findNextRun');
    const isSaved = this.saved.has(id);
    return {
      isOn: this.live.has(id),
      xml: this.xmls.get(id),
      isSaved,
      savedXml: this.saved.get(id),
    };
  }
}

function recordOf(uid: string, runId: number | undefined): DomainRecord {
  const [state, name] = [runId === undefined ? 5 : 1, `default_${uid}`];
  return { uid, name, runId, state, reason: 1, persistent: true, statistics: undefined };
}

const refusal = (text: RegExp) => (error: Error) => {
  assert.ok(hasReason(error, 'NODE_CAPACITY_EXCEEDED'), String(error));
  assert.match(error.message, text);
  return true;
};

const damaged = (xml: string) => xml.replace(/(<novacron:vm [^>]*>)[^<]*/, '$1{');

test('each of two gets CPUs that the other does not have, and a third none', async () => {
  const libvirt = new Libvirt();
  const [one, two, three] = [libvirt.add(), libvirt.add(), libvirt.add()];
  assert.deepEqual(await libvirt.start(one), [2, 3]);
  assert.deepEqual(await libvirt.start(two), [4, 5]);
  await assert.rejects(
    libvirt.start(three),
    refusal(/of the 4 that this node sets apart 0 are left/),
  );
  // One that is on stays as it is.
  assert.deepEqual(await libvirt.start(one), [2, 3]);
});

test('saved memory goes on where it was if nobody has those CPUs by then, and is not started otherwise', async () => {
  const libvirt = new Libvirt();
  const saved = libvirt.addPlaced([2, 3]);
  libvirt.saved.set(saved, libvirt.xmls.get(saved));
  const other = libvirt.addPlaced([3, 4]);
  const before = libvirt.xmls.get(saved);
  await libvirt.start(other);
  await assert.rejects(
    libvirt.start(saved),
    refusal(
      new RegExp(
        `while it had the CPUs 2-3 for itself, of which VM ${other} has 3 now; stop that, or give that memory up with "virsh managedsave-remove ${saved}"`,
      ),
    ),
  );
  assert.equal(libvirt.begun, 1);
  libvirt.live.delete(other);
  assert.deepEqual(await libvirt.start(saved), [2, 3]);
  assert.equal(libvirt.xmls.get(saved), before);
});

test('what saved memory is held to is read of the file, whatever has been defined since', async () => {
  const libvirt = new Libvirt();
  const saved = libvirt.addPlaced([2, 3]);
  libvirt.saved.set(saved, libvirt.xmls.get(saved));
  const shares = libvirt.document(saved).withMachine(machine(), tcgOptions);
  libvirt.xmls.set(saved, shares.withDefinition(definition({ uid: saved })).toString());
  await libvirt.start(libvirt.addPlaced([2, 3]));
  await assert.rejects(libvirt.start(saved), refusal(/CPUs 2-3 for itself/));
  // What cannot be read libvirt does not go on with either, but with what is defined.
  libvirt.saved.set(saved, undefined);
  assert.deepEqual(await libvirt.start(saved), []);
});

test('saved memory keeps its CPUs to itself where none are set apart any more, and those of one that shares are not looked at', async () => {
  const libvirt = new Libvirt();
  libvirt.cpus = undefined;
  const saved = libvirt.addPlaced([2, 3]);
  libvirt.saved.set(saved, libvirt.xmls.get(saved));
  const stillOn = libvirt.addPlaced([2, 3]);
  libvirt.switchOn(stillOn);
  await assert.rejects(libvirt.start(saved), refusal(/CPUs 2-3 for itself/));
  const shares = libvirt.addPlaced([], {});
  libvirt.saved.set(shares, libvirt.xmls.get(shares));
  libvirt.sick.add(stillOn);
  assert.deepEqual(await libvirt.start(shares), []);
});

test('a VM is no longer held to what an agent has said once no CPUs are set apart, and to others once others are', async () => {
  const libvirt = new Libvirt();
  const uid = libvirt.add({});
  const before = libvirt.xmls.get(uid);
  await libvirt.start(uid);
  assert.match(libvirt.live.get(uid) ?? '', /cpuset='0-1'/);
  libvirt.live.delete(uid);
  libvirt.cpus = { dedicated: [4, 5], shared: [0, 1, 2, 3] };
  await libvirt.start(uid);
  assert.match(libvirt.live.get(uid) ?? '', /cpuset='0-3'/);
  libvirt.live.delete(uid);
  libvirt.cpus = undefined;
  await libvirt.start(uid);
  assert.equal(libvirt.xmls.get(uid), before);
  // By somebody else.
  const foreign = libvirt.add({}, (xml) => xml.replace('<vcpu ', "<vcpu cpuset='0-1' "));
  await libvirt.start(foreign);
  assert.match(libvirt.live.get(foreign) ?? '', /cpuset='0-1'/);
});

test('what is given to one whose start takes long is not given again, and holds up nobody', async () => {
  const libvirt = new Libvirt();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  libvirt.gate = promise;
  const slow = libvirt.add();
  const starting = libvirt.start(slow);
  while (libvirt.begun < 1) await new Promise(setImmediate);
  libvirt.gate = Promise.resolve();
  assert.deepEqual(await libvirt.start(libvirt.add()), [4, 5]);
  const third = libvirt.add();
  await assert.rejects(libvirt.start(third), refusal(/0 are left/));
  // One that comes to nothing gives it back.
  reject(new AgentError('HYPERVISOR_REFUSED', 'No'));
  await assert.rejects(starting, { message: 'No' });
  assert.deepEqual(await libvirt.start(third), [2, 3]);
  resolve();
});

test('whoever waits to choose is let go by its signal', async () => {
  const libvirt = new Libvirt();
  const { promise, resolve } = Promise.withResolvers<void>();
  const on = libvirt.add();
  await libvirt.start(on);
  libvirt.listingGate = promise;
  const first = libvirt.start(libvirt.add());
  while (libvirt.listings < 2) await new Promise(setImmediate);
  const controller = new AbortController();
  const second = libvirt.start(libvirt.add(), controller.signal);
  await new Promise(setImmediate);
  controller.abort(new Error('Superseded'));
  await assert.rejects(second, { message: 'Superseded' });
  assert.equal(libvirt.listings, 2);
  resolve();
  assert.deepEqual(await first, [4, 5]);
});

test('only what is on is asked, so many at once, and one that does not answer is named', async () => {
  const libvirt = new Libvirt();
  const off = libvirt.addPlaced([2, 3]);
  libvirt.sick.add(off);
  for (let count = 0; count < 20; count += 1) libvirt.switchOn(libvirt.add({}));
  const vm = libvirt.add();
  assert.deepEqual(await libvirt.start(vm), [2, 3]);
  assert.ok(libvirt.mostReads > 1 && libvirt.mostReads <= 8, `${libvirt.mostReads} at once`);
  const sick = libvirt.add({});
  libvirt.switchOn(sick);
  libvirt.sick.add(sick);
  const next = libvirt.add();
  await assert.rejects(libvirt.start(next), (error: Error) => {
    assert.ok(hasReason(error, 'HYPERVISOR_TIMEOUT'), String(error));
    assert.equal(
      error.message,
      `Cannot start VM ${next}: which CPUs VM ${sick} has cannot be read, and none must be given twice; start it again once VM ${sick} answers, or cut the power of VM ${sick} first`,
    );
    return true;
  });
  // Who shares asks nobody.
  await libvirt.start(libvirt.add({}));
});

test('a VM whose manifest is damaged gets other CPUs than it had where those are taken', async () => {
  const libvirt = new Libvirt();
  const broken = libvirt.addPlaced([2, 3]);
  libvirt.xmls.set(broken, damaged(libvirt.xmls.get(broken) ?? ''));
  assert.equal(libvirt.document(broken).definition?.newer?.isDamaged, true);
  await libvirt.start(libvirt.addPlaced([3, 4]));
  assert.deepEqual(await libvirt.start(broken), [2, 5]);
  libvirt.live.delete(broken);
  await libvirt.start(libvirt.add());
  await assert.rejects(libvirt.start(broken), refusal(/0 are left/));
});

test('what somebody has pinned to CPUs that are set apart is not started on those of another', async () => {
  const libvirt = new Libvirt();
  const pin = "<cputune><vcpupin vcpu='0' cpuset='2-3'/></cputune>";
  const pinned = (xml: string) => xml.replace('<os>', `${pin}<os>`);
  const without = (xml: string) => pinned(xml).replace(/<metadata>.*<\/metadata>/s, '');
  await libvirt.start(libvirt.addPlaced([3, 4]));
  const one = (xml: string) => pinned(xml).replace("'2-3'", "'3'");
  for (const edit of [pinned, without, (xml: string) => damaged(one(xml))]) {
    const uid = libvirt.add({}, edit);
    const text = `it is pinned to the CPUs (2-)?3, of which .* has 3 now; stop that, or pin it to others with "virsh vcpupin ${uid} --config"`;
    await assert.rejects(libvirt.start(uid), refusal(new RegExp(text)));
  }
  const free = libvirt.add({}, (xml) => pinned(xml).replace("'2-3'", "'2'"));
  assert.deepEqual(await libvirt.start(free), [2]);
  await assert.rejects(libvirt.start(libvirt.add()), refusal(/1 are left/));
});
