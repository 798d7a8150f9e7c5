import { formatCpuList } from '../../core/cpu-list.ts';
import { AgentError } from '../../core/errors.ts';
import { vcpusOf } from '../../core/resources/machine-amounts.ts';
import { Slots } from '../../core/slots.ts';
import type { DefinitionCache } from './definition-cache.ts';
import { DomainDocument } from './domain-xml/domain-document.ts';
import type { DriverCalls } from './driver-calls.ts';
import type { DriverSupervisor } from './driver-supervisor.ts';

/** How a node's CPUs are parted; neither is empty. */
export interface NodeCpus {
  /** For VMs that share none. */
  readonly dedicated: readonly number[];
  /** For everything else. */
  readonly shared: readonly number[];
}

export interface CpuPlacementOptions {
  readonly driver: Pick<DriverSupervisor, 'call'>;
  readonly calls: DriverCalls;
  readonly cache: Pick<DefinitionCache, 'invalidate'>;
  /** Undefined where no CPUs are set apart: domains are left as they are then. */
  readonly cpus: () => NodeCpus | undefined;
}

/** Of domains that are asked for their CPUs, as in the listing. */
const READ_AT_ONCE = 8;

/** CPUs that are somebody's, and the uid of whose they are. */
type Taken = ReadonlyMap<number, string>;

/** CPUs that are to be a VM's once its start has come to that; disposed of when the start has settled. */
interface Hold extends Disposable {
  readonly uid: string;
  readonly cpus: readonly number[];
}

type Start<T> = (next: DomainDocument | undefined) => Promise<T>;

/**
 * Says at each start which CPUs of the host a domain runs on. What is given to whom stands in the domains that are on, and, of those
 * that are being started, here: an agent that is started anew finds it there, and whatever has gone off has given it back.
 */
export class CpuPlacement {
  readonly #options: CpuPlacementOptions;
  /** From the look at what is taken to the choice, or two would choose the same. */
  readonly #choosing = new Slots(1);
  readonly #holds = new Set<Hold>();

  constructor(options: CpuPlacementOptions) {
    this.#options = options;
  }

  /**
   * Starts a domain by `start`, placed, which is told what the domain begins with by its definition. Fails with
   * NODE_CAPACITY_EXCEEDED if too few CPUs are left to give, or what it is held to is another's.
   */
  async start<T>(uid: string, start: Start<T>, signal: AbortSignal): Promise<T> {
    const { calls } = this.#options;
    const found = await calls.call('findNextRun', uid, [uid], 'start', signal);
    // One that is not there is for libvirt to say.
    if (found === undefined) return await start(undefined);
    const next = DomainDocument.parse(found.xml);
    if (found.isOn) return await start(next);
    const cpus = this.#options.cpus();
    if (found.isSaved) {
      // Whatever its definition says by then. That as well: libvirt begins with it where the file is of no use.
      const saved = found.savedXml === undefined ? next : DomainDocument.parse(found.savedXml);
      const pins = [...new Set([saved, next].flatMap((one) => pinsOfItsOwn(one, cpus)))];
      using _hold = await this.#holdAgain(uid, pins, WHY_SAVED, signal);
      return await start(next);
    }
    if (cpus === undefined) {
      return await start(await this.#define(next, next.withoutPlacement(), signal));
    }
    const count = countOfItsOwn(next, cpus);
    if (count !== undefined) {
      using hold = await this.#holdNew(next, count, cpus, signal);
      const placed = next.withPlacement({ shared: cpus.shared, pins: hold.cpus });
      return await start(await this.#define(next, placed, signal));
    }
    using _hold = await this.#holdAgain(uid, pinsOfItsOwn(next, cpus), WHY_PINNED, signal);
    if (next.definition === undefined) return await start(next);
    const placed = next.withPlacement({ shared: cpus.shared, pins: [] });
    return await start(await this.#define(next, placed, signal));
  }

  async #define(before: DomainDocument, wanted: DomainDocument, signal: AbortSignal) {
    const { calls, cache } = this.#options;
    const { uuid: uid } = before;
    if (wanted.toString() === before.toString()) return before;
    await calls.call('define', uid, [uid, undefined, wanted.toString()], 'start', signal);
    cache.invalidate(uid);
    return wanted;
  }

  /** As many as it needs, of those that nobody has. */
  async #holdNew(
    { uuid: uid, pinnedCpus }: DomainDocument,
    count: number,
    cpus: NodeCpus,
    signal: AbortSignal,
  ): Promise<Hold> {
    const pick = (taken: Taken) => {
      const pins = choose(cpus.dedicated, count, taken, pinnedCpus);
      if (pins === undefined)
        throw tooFew(this.#options.calls.nameOf(uid), uid, count, cpus, taken);
      return pins;
    };
    return await this.#hold(uid, pick, signal);
  }

  /** Those that it has in any case. */
  async #holdAgain(
    uid: string,
    pins: readonly number[],
    why: (cpus: string, uid: string) => { readonly is: string; readonly wayOn: string },
    signal: AbortSignal,
  ): Promise<Hold> {
    if (pins.length === 0) return this.#note(uid, pins);
    const pick = (taken: Taken) => {
      const lost = pins.filter((cpu) => taken.has(cpu));
      if (lost.length === 0) return pins;
      const { calls } = this.#options;
      const holders = [...new Set(lost.map((cpu) => taken.get(cpu) ?? ''))];
      const { is, wayOn } = why(formatCpuList(pins), uid);
      throw new AgentError(
        'NODE_CAPACITY_EXCEEDED',
        `Cannot start ${calls.nameOf(uid)}: ${is}, of which ${holders.map((one) => calls.nameOf(one)).join(', ')} has ${formatCpuList(lost)} now; stop that, or ${wayOn}`,
        { metadata: { vmId: uid, resource: RESOURCE } },
      );
    };
    return await this.#hold(uid, pick, signal);
  }

  async #hold(
    uid: string,
    pick: (taken: Taken) => readonly number[],
    signal: AbortSignal,
  ): Promise<Hold> {
    await using _turn = await this.#choosing.take(signal);
    return this.#note(uid, pick(await this.#readTaken(uid, signal)));
  }

  #note(uid: string, cpus: readonly number[]): Hold {
    const hold = { uid, cpus, [Symbol.dispose]: () => void this.#holds.delete(hold) };
    this.#holds.add(hold);
    return hold;
  }

  /** What the virtual CPUs of all others that are on are held to, made by an agent or not. One that does not answer fails it. */
  async #readTaken(uid: string, signal: AbortSignal): Promise<Taken> {
    const { driver } = this.#options;
    // First: one whose start settles after this is on by the listing, or has been counted.
    const holds = [...this.#holds].filter((hold) => hold.uid !== uid);
    const taken = new Map(holds.flatMap((hold) => hold.cpus.map((cpu) => [cpu, hold.uid])));
    const records = await driver.call('list', ['state'], { action: 'list the VMs' }, signal);
    const others = records.filter((one) => one.uid !== uid && one.runId !== undefined);
    const slots = new Slots(READ_AT_ONCE);
    await Promise.all(
      others.map(async (other) => {
        await using _slot = await slots.take(signal);
        for (const cpu of await this.#readPins(uid, other.uid, signal)) taken.set(cpu, other.uid);
      }),
    );
    return taken;
  }

  async #readPins(uid: string, other: string, signal: AbortSignal): Promise<readonly number[]> {
    const { driver, calls } = this.#options;
    const name = calls.nameOf(other);
    try {
      // Without the uid, as hung calls about it would hold up this one.
      const xml = await driver.call('findXml', [other], { action: `read ${name}` }, signal);
      // What nobody has pinned need not be understood.
      if (xml?.includes('<vcpupin') !== true) return [];
      const document = DomainDocument.parse(xml);
      return document.isLive ? document.pinnedCpus : [];
    } catch (error) {
      if (signal.aborted || !(error instanceof AgentError)) throw error;
      if (error.reason === 'HYPERVISOR_UNREACHABLE') throw error;
      throw new AgentError(
        error.reason,
        `Cannot start ${calls.nameOf(uid)}: which CPUs ${name} has cannot be read, and none must be given twice; start it again once ${name} answers, or cut the power of ${name} first`,
        { cause: error, metadata: { vmId: uid, resource: RESOURCE } },
      );
    }
  }
}

const RESOURCE = 'dedicated-cpus';

const WHY_SAVED = (cpus: string, uid: string) => ({
  is: `its memory was saved while it had the CPUs ${cpus} for itself`,
  wayOn: `give that memory up with "virsh managedsave-remove ${uid}"`,
});
const WHY_PINNED = (cpus: string, uid: string) => ({
  is: `it is pinned to the CPUs ${cpus}`,
  wayOn: `pin it to others with "virsh vcpupin ${uid} --config"`,
});

/** How many CPUs it is to have for itself; undefined for one that shares. */
function countOfItsOwn(next: DomainDocument, { dedicated }: NodeCpus): number | undefined {
  const { definition, pinnedCpus, cpu } = next;
  const machine = definition?.spec.template.spec;
  if (machine === undefined) return undefined;
  if (machine.cpu?.dedicated === true) return vcpusOf(machine);
  // Of a manifest that cannot be read in full there is only what a start before has made of it.
  const wasPlaced =
    definition?.newer !== undefined &&
    new Set(pinnedCpus).size === cpu.vcpus &&
    pinnedCpus.every((one) => dedicated.includes(one));
  return wasPlaced ? cpu.vcpus : undefined;
}

/** What it is held to, where that is for it alone or for others that are. */
function pinsOfItsOwn(document: DomainDocument, cpus: NodeCpus | undefined): readonly number[] {
  const { definition, pinnedCpus } = document;
  if (definition?.spec.template.spec.cpu?.dedicated === true) return pinnedCpus;
  return pinnedCpus.filter((cpu) => cpus?.dedicated.includes(cpu));
}

/** Those that it has had are the first: what is in their caches may still be its own. Undefined if too few are left. */
export function choose(
  all: readonly number[],
  count: number,
  taken: Pick<ReadonlySet<number>, 'has'>,
  before: readonly number[],
): readonly number[] | undefined {
  const free = all.filter((cpu) => !taken.has(cpu));
  if (free.length < count) return undefined;
  const again = [...new Set(before)].filter((cpu) => free.includes(cpu)).slice(0, count);
  return [...again, ...free.filter((cpu) => !again.includes(cpu))].slice(0, count);
}

function tooFew(
  name: string,
  vmId: string,
  wanted: number,
  { dedicated }: NodeCpus,
  taken: Taken,
): AgentError {
  const left = dedicated.filter((cpu) => !taken.has(cpu)).length;
  return new AgentError(
    'NODE_CAPACITY_EXCEEDED',
    `Cannot start ${name}: it needs ${wanted} CPUs of its own, and of the ${dedicated.length} that this node sets apart ${left} are left; choose another node, or stop VMs here`,
    { metadata: { vmId, resource: RESOURCE } },
  );
}
