import { join } from 'node:path';
import { AgentError, hasReason } from '../../core/errors.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import {
  type HypervisorDomains,
  type HypervisorVm,
  hypervisorNameOf,
  type VmFacts,
} from '../hypervisor-domains.ts';
import type { Accelerator } from '../hypervisor-host.ts';
import {
  type DefinitionCache,
  type DomainDescription,
  describeDomain,
} from './definition-cache.ts';
import { mayBeIncoming, toRunState } from './domain-states.ts';
import type { DomainRecord } from './domain-statistics.ts';
import { buildDomainXml } from './domain-xml/build-domain-xml.ts';
import { DomainDocument } from './domain-xml/domain-document.ts';
import type { DomainXmlOptions } from './domain-xml/domain-part.ts';
import { effectOf } from './domain-xml/domain-parts.ts';
import { METADATA_NAMESPACE, METADATA_PREFIX } from './domain-xml/metadata.ts';
import type { DriverCalls } from './driver-calls.ts';
import type { DriverSupervisor } from './driver-supervisor.ts';
import { losesDirtyPagesUnderTcg } from './host-info.ts';

export interface LibvirtDomainsOptions {
  readonly driver: Pick<DriverSupervisor, 'call'>;
  readonly calls: DriverCalls;
  readonly cache: DefinitionCache;
  readonly nodeDefaults: NodeDefaults;
  /** Whether this process waits for the VM's migration from here. */
  readonly isLeaving: (uid: string) => boolean;
}

/** What a VM gets where its spec leaves it to the node. */
export interface NodeDefaults {
  readonly accelerator: Accelerator;
  readonly defaultMachineType: string;
  readonly defaultCpuModel: string;
  /** Folder of the files that the serial consoles are logged to. */
  readonly consoleDirectory: string;
}

/** What a listing may wait for one domain; a busy one is listed with what is known of it. */
const PER_DOMAIN_TIMEOUT_MS = 1_000;
const JOB_RETRY_MS = 30_000;
const UNREAD: DomainDescription = {
  isRead: false,
  definition: undefined,
  drift: [],
  liveDefinition: undefined,
  accelerator: 'tcg',
  machineType: '',
  vcpus: 0,
  memoryBytes: 0,
  volumes: [],
  disks: [],
  consoleLogPath: undefined,
};

/** VMs as domains of the host's libvirt. */
export class LibvirtDomains implements HypervisorDomains {
  readonly effectOf = effectOf;
  readonly #options: LibvirtDomainsOptions;
  #qemuVersion: number | undefined;
  /** When it is worth asking again for the jobs of domains that did not tell. */
  readonly #askJobAtMs = new Map<string, number>();

  constructor(options: LibvirtDomainsOptions) {
    this.#options = options;
  }

  /** For a new connection: libvirt may be another one. */
  forget(): void {
    this.#qemuVersion = undefined;
    this.#askJobAtMs.clear();
  }

  async list(signal: AbortSignal): Promise<readonly HypervisorVm[]> {
    const { driver, cache } = this.#options;
    const records = await driver.call('list', ['state'], { action: 'list the VMs' }, signal);
    cache.keepOnly(records);
    for (const uid of this.#askJobAtMs.keys()) {
      if (!records.some((record) => record.uid === uid)) this.#askJobAtMs.delete(uid);
    }
    const outdated = cache.selectOutdated(records);
    await Promise.all(outdated.map((record) => this.#refresh(record, signal)));
    return Promise.all(
      records.map(async (record) =>
        toVm(record, cache.find(record.uid) ?? UNREAD, await this.#isIncoming(record, signal)),
      ),
    );
  }

  async find(uid: string, signal: AbortSignal): Promise<HypervisorVm | undefined> {
    const found = await this.#options.calls.call('find', uid, [uid], 'read', signal);
    if (found === undefined) return undefined;
    const { record, xml } = found;
    return toVm(record, describeDomain(xml), await this.#isIncoming(record, signal));
  }

  async define(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { calls, cache } = this.#options;
    const { uid } = definition;
    const options = await this.#xmlOptions(uid, signal);
    const present = await calls.call('findDefinableXml', uid, [uid], 'define', signal);
    const xml =
      present === undefined
        ? buildDomainXml(definition, options)
        : DomainDocument.parse(present)
            .withMachine(definition.spec.template.spec, options)
            .withDefinition(definition)
            .toString();
    const values = [uid, hypervisorNameOf(definition), xml] as const;
    await calls.call('define', uid, [...values], 'define', signal);
    cache.invalidate(uid);
  }

  async setFacts(uid: string, facts: Partial<VmFacts>, signal: AbortSignal): Promise<void> {
    const { calls, cache } = this.#options;
    const xml = await calls.call('readXml', uid, [uid], 'read', signal);
    const live = DomainDocument.parse(xml.live).metadataWithFacts(facts);
    const persistent =
      xml.persistent === undefined
        ? live
        : DomainDocument.parse(xml.persistent).metadataWithFacts(facts);
    if (live === undefined && persistent === undefined) {
      throw new AgentError(
        'VM_NOT_FOUND',
        `Cannot change what is kept with VM ${uid}: the domain is not one of an agent`,
        { metadata: { vmId: uid } },
      );
    }
    const element = { live, persistent, prefix: METADATA_PREFIX, namespace: METADATA_NAMESPACE };
    await calls.call('setMetadata', uid, [uid, element], 'change what is kept with', signal);
    cache.invalidate(uid);
  }

  async start(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('start', uid, [uid], 'start', signal);
  }

  async shutdown(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('shutdown', uid, [uid], 'shut down', signal);
  }

  async destroy(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('destroy', uid, [uid], 'cut the power of', signal);
  }

  async suspend(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('suspend', uid, [uid], 'suspend', signal);
  }

  async resume(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('resume', uid, [uid], 'resume', signal);
  }

  async undefine(uid: string, signal: AbortSignal): Promise<void> {
    await this.#options.calls.call('undefine', uid, [uid], 'undefine', signal);
  }

  async #xmlOptions(uid: string, signal: AbortSignal): Promise<DomainXmlOptions> {
    const { calls, nodeDefaults } = this.#options;
    this.#qemuVersion ??= await calls.call('readHypervisorVersion', uid, [], 'define', signal);
    return {
      ...nodeDefaults,
      consoleLogPath: join(nodeDefaults.consoleDirectory, `${uid}.log`),
      oddRamSize: losesDirtyPagesUnderTcg(this.#qemuVersion),
    };
  }

  /** Reads a domain's XML again. One that cannot be read now is listed with what was known of it, if anything. */
  async #refresh(record: DomainRecord, signal: AbortSignal): Promise<void> {
    const { driver, calls, cache } = this.#options;
    const { uid } = record;
    // Without the uid, as hung calls about the VM must not keep it from being listed.
    const options = { action: `read ${calls.nameOf(uid)}`, timeoutMs: PER_DOMAIN_TIMEOUT_MS };
    try {
      await cache.read(record, () => driver.call('readXml', [uid], options, signal));
    } catch (error) {
      if (!hasReason(error, 'VM_NOT_FOUND', 'VM_BUSY', 'HYPERVISOR_TIMEOUT')) throw error;
      cache.postpone(uid);
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
    } catch (error) {
      if (!hasReason(error, 'VM_NOT_FOUND', 'VM_BUSY', 'HYPERVISOR_TIMEOUT')) throw error;
      // libvirt holds the call up for half a minute; more of them would keep whatever else is asked about the VM from it.
      this.#askJobAtMs.set(uid, performance.now() + JOB_RETRY_MS);
      return !record.persistent;
    }
  }
}

function toVm(
  record: DomainRecord,
  description: DomainDescription,
  isIncoming: boolean,
): HypervisorVm {
  const { state, reason } = toRunState(record.state, record.reason);
  const isLost = !record.persistent && !isIncoming && description.definition !== undefined;
  return {
    uid: record.uid,
    hypervisorName: record.name,
    state: isIncoming ? 'incoming' : state,
    stateReason: reason,
    persistent: record.persistent,
    ...description,
    drift: isLost ? [...description.drift, 'persistence'] : description.drift,
  };
}
