import { AgentError } from '../../core/errors.ts';
import { vcpusOf } from '../../core/resources/machine-amounts.ts';
import { Turns } from '../../core/turns.ts';
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

const ALL = 'all';

/**
 * Says at each start which CPUs of the host a domain runs on. What is given to whom stands in the domains that are on, and nowhere
 * else: an agent that is started anew finds it there, and whatever has gone off has given it back.
 */
export class CpuPlacement {
  readonly #options: CpuPlacementOptions;
  readonly #turns = new Turns();

  constructor(options: CpuPlacementOptions) {
    this.#options = options;
  }

  /** Starts a domain by `start`, placed. Fails with NODE_CAPACITY_EXCEEDED if too few CPUs are left to give. */
  async start(uid: string, start: () => Promise<void>, signal: AbortSignal): Promise<void> {
    const { calls } = this.#options;
    const cpus = this.#options.cpus();
    if (cpus === undefined) return await start();
    const next = await this.#readNext(uid, signal);
    const machine = next?.definition?.spec.template.spec;
    if (next === undefined || machine === undefined) return await start();
    const { shared } = cpus;
    if (machine.cpu?.dedicated !== true) {
      await this.#define(next, next.withPlacement({ shared, pins: [] }), signal);
      return await start();
    }
    // From the look to the start, or two would be given the same.
    return await this.#turns.take(ALL, async () => {
      signal.throwIfAborted();
      const taken = await this.#readTaken(uid, signal);
      const pins = choose(cpus.dedicated, vcpusOf(machine), taken, next.pinnedCpus);
      if (pins === undefined) throw tooFew(calls.nameOf(uid), uid, machine, cpus, taken);
      await this.#define(next, next.withPlacement({ shared, pins }), signal);
      await start();
    });
  }

  /** What a domain is to be started with; undefined for one that is on already. */
  async #readNext(uid: string, signal: AbortSignal): Promise<DomainDocument | undefined> {
    const { calls } = this.#options;
    const { live } = await calls.call('readXml', uid, [uid], 'start', signal);
    if (DomainDocument.parse(live).isLive) return undefined;
    const xml = await calls.call('findDefinableXml', uid, [uid], 'start', signal);
    return xml === undefined ? undefined : DomainDocument.parse(xml);
  }

  async #define(before: DomainDocument, wanted: DomainDocument, signal: AbortSignal) {
    const { calls, cache } = this.#options;
    const { uuid: uid } = before;
    if (wanted.toString() === before.toString()) return;
    await calls.call('define', uid, [uid, undefined, wanted.toString()], 'start', signal);
    cache.invalidate(uid);
  }

  /** What the virtual CPUs of all others that are on are held to, made by an agent or not. One that does not answer fails it. */
  async #readTaken(uid: string, signal: AbortSignal): Promise<ReadonlySet<number>> {
    const { driver, calls } = this.#options;
    const records = await driver.call('list', ['state'], { action: 'list the VMs' }, signal);
    const taken = new Set<number>();
    for (const record of records) {
      if (record.uid === uid) continue;
      const xml = await calls.call('findXml', record.uid, [record.uid], 'read', signal);
      const document = xml === undefined ? undefined : DomainDocument.parse(xml);
      if (document?.isLive !== true) continue;
      for (const cpu of document.pinnedCpus) taken.add(cpu);
    }
    return taken;
  }
}

/** Those that it has had are the first: what is in their caches may still be its own. Undefined if too few are left. */
export function choose(
  all: readonly number[],
  count: number,
  taken: ReadonlySet<number>,
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
  machine: Parameters<typeof vcpusOf>[0],
  { dedicated }: NodeCpus,
  taken: ReadonlySet<number>,
): AgentError {
  const left = dedicated.filter((cpu) => !taken.has(cpu)).length;
  const wanted = vcpusOf(machine);
  return new AgentError(
    'NODE_CAPACITY_EXCEEDED',
    `Cannot start ${name}: it needs ${wanted} CPUs of its own, and of the ${dedicated.length} that this node sets apart ${left} are left; choose another node, or stop VMs here`,
    { metadata: { vmId, resource: 'dedicated-cpus' } },
  );
}
