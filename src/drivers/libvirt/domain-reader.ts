import { AgentError, hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { Slots } from '../../core/slots.ts';
import { type HypervisorVm, isOn } from '../hypervisor-domains.ts';
import type { DefinitionCache, ReadDomain } from './definition-cache.ts';
import {
  type DomainDescription,
  describeDomain,
  mayBeOurs,
  SOMEBODY_ELSES,
  UNREAD,
} from './domain-description.ts';
import { mayBeIncoming, type RunState, toRunState } from './domain-states.ts';
import type { DomainRecord } from './domain-statistics.ts';
import type { DriverCalls } from './driver-calls.ts';
import type { DriverSupervisor } from './driver-supervisor.ts';
import { FullStorage } from './full-storage.ts';

export interface DomainReaderOptions {
  readonly driver: Pick<DriverSupervisor, 'call'>;
  readonly calls: DriverCalls;
  readonly cache: DefinitionCache;
  /** Whether this process waits for the VM's migration from here. */
  readonly isLeaving: (uid: string) => boolean;
  readonly logger: Logger | undefined;
}

/** What a listing may wait for one domain; a busy one is listed with what is known of it. */
const PER_DOMAIN_TIMEOUT_MS = 1_000;
const JOB_RETRY_MS = 30_000;
/** Of more the last ones would only wait in the driver, and not be read in their time where there are many VMs. */
const READ_AT_ONCE = 8;
/** One that takes longer makes room for another: VMs that hang shall not hold up the others. */
const SLOW_READ_MS = 250;

/** Reads what domains there are. Whatever is wrong with one of them, the others are listed as they are. */
export class DomainReader {
  readonly #options: DomainReaderOptions;
  /** What was last said in the log of each domain that could not be read. */
  readonly #said = new Map<string, string>();
  /** When it is worth asking again for the jobs of domains that did not tell. */
  readonly #askJobAtMs = new Map<string, number>();
  readonly #fullStorage: FullStorage;

  constructor(options: DomainReaderOptions) {
    this.#options = options;
    this.#fullStorage = new FullStorage(options, PER_DOMAIN_TIMEOUT_MS);
  }

  /** For a new connection: libvirt may be another one. */
  forget(): void {
    this.#askJobAtMs.clear();
  }

  async list(signal: AbortSignal): Promise<readonly HypervisorVm[]> {
    const { driver, cache } = this.#options;
    const records = await driver.call('list', ['state'], { action: 'list the VMs' }, signal);
    this.#keepOnly(records);
    const outdated = cache.selectOutdated(records);
    await this.#refreshAll(outdated, signal);
    return Promise.all(
      records.map((record) => this.#toVm(record, cache.find(record.uid) ?? UNREAD, signal)),
    );
  }

  async find(uid: string, signal: AbortSignal): Promise<HypervisorVm | undefined> {
    const { calls, cache } = this.#options;
    const found = await cache.read(
      uid,
      () => calls.call('find', uid, [uid], 'read', signal),
      (domain) => this.#describe(domain),
    );
    if (found === undefined) return undefined;
    const { record, description } = found;
    return await this.#toVm(record, description, signal);
  }

  async #toVm(
    record: DomainRecord,
    description: DomainDescription,
    signal: AbortSignal,
  ): Promise<HypervisorVm> {
    const isIncoming = await this.#isIncoming(record, signal);
    const { state, reason } = toRunState(record.state, record.reason);
    const isFull = reason === 'io-error' && (await this.#fullStorage.isBehind(record, signal));
    return toVm(record, description, isIncoming, { state, reason: isFull ? 'no-space' : reason });
  }

  #keepOnly(records: readonly DomainRecord[]): void {
    this.#options.cache.keepOnly(records);
    this.#fullStorage.keepOnly(records);
    const uids = new Set(records.map(({ uid }) => uid));
    for (const map of [this.#said, this.#askJobAtMs]) {
      for (const uid of map.keys()) if (!uids.has(uid)) map.delete(uid);
    }
  }

  async #refreshAll(records: readonly DomainRecord[], signal: AbortSignal): Promise<void> {
    const slots = new Slots(READ_AT_ONCE);
    await Promise.all(
      records.map(async (record) => {
        await using slot = await slots.take(signal);
        const timer = setTimeout(() => void slot.disposeAsync(), SLOW_READ_MS);
        await this.#refresh(record, signal).finally(() => clearTimeout(timer));
      }),
    );
  }

  /** Reads a domain's XML again. One that cannot be read now is listed with what was known of it, if anything. */
  async #refresh(record: DomainRecord, signal: AbortSignal): Promise<void> {
    const { driver, calls, cache } = this.#options;
    const { uid } = record;
    // Without the uid, as hung calls about the VM must not keep it from being listed.
    const options = { action: `read ${calls.nameOf(uid)}`, timeoutMs: PER_DOMAIN_TIMEOUT_MS };
    try {
      await cache.read(
        uid,
        async () => ({ record, xml: await driver.call('readXml', [uid], options, signal) }),
        (domain) => this.#describe(domain),
      );
    } catch (error) {
      signal.throwIfAborted();
      cache.postpone(uid);
      if (!isPassing(error))
        this.#say(record, error, 'A domain cannot be read; it may be a VM of this node');
    }
  }

  /** Fails if the XML of what may be a VM of ours cannot be read. */
  #describe({ record, xml }: ReadDomain): DomainDescription {
    try {
      return describeDomain(xml);
    } catch (error) {
      if (mayBeOurs(xml)) {
        const name = this.#options.calls.nameOf(record.uid);
        const why =
          error instanceof AgentError ? error.message : 'it means what no VM of an agent can';
        throw new AgentError(
          'HYPERVISOR_FAILURE',
          `Cannot tell what ${name} (libvirt: ${record.name}) is: ${why}; look with "virsh dumpxml ${record.uid}" on the node`,
          { metadata: { vmId: record.uid }, cause: error },
        );
      }
      this.#say(
        record,
        error,
        'A domain that somebody else has made cannot be read; it is left alone',
      );
      return SOMEBODY_ELSES;
    }
  }

  /** Whether the domain waits for a guest that still runs elsewhere. If its job does not say, its being transient does. */
  async #isIncoming(record: DomainRecord, signal: AbortSignal): Promise<boolean> {
    const { driver, calls, isLeaving } = this.#options;
    const { uid, state, reason } = record;
    if (!mayBeIncoming(state, reason) || isLeaving(uid)) return false;
    if ((this.#askJobAtMs.get(uid) ?? 0) > performance.now()) return !record.persistent;
    const options = { action: `read ${calls.nameOf(uid)}`, uid, timeoutMs: PER_DOMAIN_TIMEOUT_MS };
    try {
      const job = await driver.call('getJob', [uid], options, signal);
      // A job that ended between the two looks leaves no trace, but a receiver is not persistent before its end.
      return job === undefined ? !record.persistent : job.operation === 'migration-in';
    } catch {
      signal.throwIfAborted();
      // libvirt holds the call up for half a minute; more of them would keep whatever else is asked about the VM from it.
      this.#askJobAtMs.set(uid, performance.now() + JOB_RETRY_MS);
      return !record.persistent;
    }
  }

  /** Once, until something else is wrong with the domain. */
  #say({ uid, name }: DomainRecord, error: unknown, message: string): void {
    const text = String(error);
    if (this.#said.get(uid) === text) return;
    this.#said.set(uid, text);
    this.#options.logger?.warn({ vmId: uid, domain: name, err: error }, message);
  }
}

/** Nothing is wrong with the domain itself: it is busy or just gone, or so is libvirt, which is told of elsewhere. */
function isPassing(error: unknown): boolean {
  return hasReason(
    error,
    'VM_NOT_FOUND',
    'VM_BUSY',
    'HYPERVISOR_TIMEOUT',
    'HYPERVISOR_UNREACHABLE',
  );
}

function toVm(
  record: DomainRecord,
  description: DomainDescription,
  isIncoming: boolean,
  { state, reason }: RunState,
): HypervisorVm {
  const isLost = !record.persistent && !isIncoming && description.definition !== undefined;
  return {
    uid: record.uid,
    hypervisorName: record.name,
    state: isIncoming ? 'incoming' : state,
    stateReason: reason,
    persistent: record.persistent,
    ...description,
    runningSinceMs: isOn({ state }) ? description.runningSinceMs : undefined,
    drift: isLost ? [...description.drift, 'persistence'] : description.drift,
  };
}
