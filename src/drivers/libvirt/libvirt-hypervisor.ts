import { join } from 'node:path';
import { AgentError, hasReason } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { VmDefinition } from '../../core/vm-spec.ts';
import type {
  Accelerator,
  Hypervisor,
  HypervisorEvent,
  HypervisorInfo,
  HypervisorMigration,
  HypervisorVm,
  JobStatistics,
} from '../hypervisor.ts';
import { DefinitionCache, type DomainDescription, describeDomain } from './definition-cache.ts';
import { mayBeIncoming, toRunState } from './domain-states.ts';
import type { DomainRecord, RecordDetail } from './domain-statistics.ts';
import { buildDomainXml } from './domain-xml/build-domain-xml.ts';
import { METADATA_NAMESPACE, METADATA_PREFIX, metadataArgument } from './domain-xml/metadata.ts';
import type { DomainReport, DriverDiagnostics } from './driver-protocol.ts';
import { DriverSupervisor } from './driver-supervisor.ts';
import { EventFeed } from './event-feed.ts';
import { losesDirtyPagesUnderTcg, toHypervisorInfo } from './host-info.ts';
import { toMigrationCall } from './migration-call.ts';
import type { OperationArguments, OperationName, OperationResult } from './operations.ts';
import { StatisticsSampler } from './statistics-sampler.ts';

export interface LibvirtHypervisorOptions {
  /** Such as `qemu:///system`. */
  readonly uri: string;
  /** Calls in flight at the same time; default 4. A call that takes long does not count. */
  readonly callWorkers?: number;
  /** Default 10 s. Starting a VM and cutting its power may take five times as long. */
  readonly callTimeoutMs?: number;
  readonly nodeDefaults: NodeDefaults;
  readonly logger?: Logger;
  /** Told of every call to libvirt, for metrics; `outcome` is `ok`, `aborted` or the reason of the failure. */
  readonly onCallEnded?: (call: string, outcome: string) => void;
}

/** What a VM gets where its spec leaves it to the node. */
export interface NodeDefaults {
  readonly accelerator: Accelerator;
  readonly defaultMachineType: string;
  readonly defaultCpuModel: string;
  /** Folder of the files that the serial consoles are logged to. */
  readonly consoleDirectory: string;
}

const DEFAULT_CALL_TIMEOUT_MS = 10_000;
/** A large VM's memory is set up before it starts, and a QEMU that is stuck in the kernel dies slowly. */
const SLOW_OPERATIONS: ReadonlySet<OperationName> = new Set(['define', 'start', 'destroy']);
const SLOW_FACTOR = 5;
/** What a listing may wait for one domain; a busy one is listed with what is known of it. */
const PER_DOMAIN_TIMEOUT_MS = 1_000;
const STATISTICS_TIMEOUT_MS = 1_000;
/** A QEMU that hangs holds up the first sample that asks it, and is left out of the next. */
const SAMPLE_TIMEOUT_MS = 3_000;
const NO_DESCRIPTION: DomainDescription = {
  definition: undefined,
  accelerator: 'tcg',
  machineType: '',
  consoleLogPath: undefined,
};

/** VMs as domains of the host's libvirt, reached through a process of its own. */
export class LibvirtHypervisor implements Hypervisor {
  readonly #nodeDefaults: NodeDefaults;
  readonly #callTimeoutMs: number;
  readonly #driver: DriverSupervisor;
  readonly #feed = new EventFeed();
  readonly #cache = new DefinitionCache();
  readonly #sampler: StatisticsSampler;
  /** VMs whose migration from here this process waits for. */
  readonly #outgoing = new Set<string>();
  #qemuVersion: number | undefined;

  constructor(options: LibvirtHypervisorOptions) {
    this.#nodeDefaults = options.nodeDefaults;
    this.#callTimeoutMs = options.callTimeoutMs ?? DEFAULT_CALL_TIMEOUT_MS;
    this.#driver = new DriverSupervisor({
      uri: options.uri,
      callWorkers: options.callWorkers ?? 4,
      callTimeoutMs: this.#callTimeoutMs,
      logger: options.logger,
      onCallEnded: options.onCallEnded,
      onConnected: () => this.#onConnected(),
      onDisconnected: (error) => this.#feed.publish({ kind: 'disconnected', error }),
      onReport: (report) => this.#onReport(report),
    });
    const action = 'read the statistics of the VMs';
    const sampling = { action, timeoutMs: Math.min(SAMPLE_TIMEOUT_MS, this.#callTimeoutMs) };
    const never = new AbortController().signal;
    this.#sampler = new StatisticsSampler(() =>
      this.#driver.call('list', ['statistics'], sampling, never),
    );
  }

  async getInfo(signal: AbortSignal): Promise<HypervisorInfo> {
    const action = 'read what the hypervisor can do';
    return toHypervisorInfo(await this.#driver.call('readHost', [], { action }, signal));
  }

  async list(signal: AbortSignal): Promise<readonly HypervisorVm[]> {
    const [records] = await Promise.all([
      this.#driver.call('list', ['state'], { action: 'list the VMs' }, signal),
      this.#sampler.refresh(),
    ]);
    this.#cache.keepOnly(records);
    const outdated = this.#cache.selectOutdated(records);
    await Promise.all(outdated.map((record) => this.#refresh(record, signal)));
    return Promise.all(
      records.map(async (record) =>
        toVm(
          { ...record, statistics: this.#sampler.find(record) },
          this.#cache.find(record.uid) ?? NO_DESCRIPTION,
          await this.#isIncoming(record, signal),
        ),
      ),
    );
  }

  async find(uid: string, signal: AbortSignal): Promise<HypervisorVm | undefined> {
    const action = `read ${this.#nameOf(uid)}`;
    const found = await this.#askInTime((detail, options) =>
      this.#driver.call('find', [uid, detail], { action, uid, ...options }, signal),
    );
    if (found === undefined) return undefined;
    const { record, xml } = found;
    return toVm(record, describeDomain(xml), await this.#isIncoming(record, signal));
  }

  async define(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { uid, namespace, name } = definition;
    const action = `define VM ${namespace}/${name}`;
    this.#qemuVersion ??= await this.#driver.call('readHypervisorVersion', [], { action }, signal);
    const xml = buildDomainXml(definition, {
      ...this.#nodeDefaults,
      consoleLogPath: join(this.#nodeDefaults.consoleDirectory, `${uid}.log`),
      oddRamSize: losesDirtyPagesUnderTcg(this.#qemuVersion),
    });
    const values = [uid, `${namespace}_${name}`, xml] as const;
    const options = this.#optionsOf('define', action, uid);
    await this.#driver.call('define', [...values], options, signal);
    this.#cache.invalidate(uid);
  }

  async start(uid: string, signal: AbortSignal): Promise<void> {
    await this.#call('start', uid, [uid], 'start', signal);
  }

  async shutdown(uid: string, signal: AbortSignal): Promise<void> {
    await this.#call('shutdown', uid, [uid], 'shut down', signal);
  }

  async destroy(uid: string, signal: AbortSignal): Promise<void> {
    await this.#call('destroy', uid, [uid], 'cut the power of', signal);
  }

  async suspend(uid: string, signal: AbortSignal): Promise<void> {
    await this.#call('suspend', uid, [uid], 'suspend', signal);
  }

  async resume(uid: string, signal: AbortSignal): Promise<void> {
    await this.#call('resume', uid, [uid], 'resume', signal);
  }

  async undefine(uid: string, signal: AbortSignal): Promise<void> {
    await this.#call('undefine', uid, [uid], 'undefine', signal);
  }

  async setDefinition(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const element = {
      xml: metadataArgument(definition),
      prefix: METADATA_PREFIX,
      namespace: METADATA_NAMESPACE,
    };
    const { uid } = definition;
    await this.#call('setMetadata', uid, [uid, element], 'change the definition of', signal);
    this.#cache.invalidate(uid);
  }

  async migrate(uid: string, request: HypervisorMigration, signal: AbortSignal): Promise<void> {
    if (request.destinationDefinition.uid !== uid) {
      throw new AgentError(
        'VM_UID_MISMATCH',
        `Cannot migrate VM ${uid}: its definition for the destination is that of VM ${request.destinationDefinition.uid}`,
      );
    }
    const xml = await this.#call('readMigratableXml', uid, [uid], 'migrate', signal);
    const call = toMigrationCall(xml, request);
    const options = { action: `migrate ${this.#nameOf(uid)}`, uid, lane: 'long' as const };
    this.#outgoing.add(uid);
    try {
      await this.#driver.call('migrate', [uid, call], options, signal);
    } finally {
      this.#outgoing.delete(uid);
      this.#cache.invalidate(uid);
    }
  }

  async getJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined> {
    return this.#call('getJob', uid, [uid], 'read the job of', signal);
  }

  async getCompletedJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined> {
    return this.#call('getCompletedJob', uid, [uid], 'read the last job of', signal);
  }

  async abortJob(uid: string, signal: AbortSignal): Promise<void> {
    await this.#call('abortJob', uid, [uid], 'stop the job of', signal);
  }

  async setMaxDowntime(uid: string, downtimeMs: number, signal: AbortSignal): Promise<void> {
    const action = 'change the allowed downtime of';
    await this.#call('setMaxDowntime', uid, [uid, downtimeMs], action, signal);
  }

  watch(signal: AbortSignal): AsyncIterable<HypervisorEvent> {
    return this.#feed.watch(signal);
  }

  /** Handles, descriptors and memory of the driver process. */
  async diagnose(signal: AbortSignal): Promise<DriverDiagnostics> {
    return this.#driver.diagnose(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#driver[Symbol.asyncDispose]();
  }

  /** A call about one VM, with words that say what was to be done to it. */
  #call<Name extends OperationName>(
    operation: Name,
    uid: string,
    values: OperationArguments<Name>,
    verb: string,
    signal: AbortSignal,
  ): Promise<OperationResult<Name>> {
    const action = `${verb} ${this.#nameOf(uid)}`;
    return this.#driver.call(operation, values, this.#optionsOf(operation, action, uid), signal);
  }

  #optionsOf(operation: OperationName, action: string, uid: string) {
    const factor = SLOW_OPERATIONS.has(operation) ? SLOW_FACTOR : 1;
    return { action, uid, timeoutMs: factor * this.#callTimeoutMs };
  }

  #nameOf(uid: string): string {
    const definition = this.#cache.find(uid)?.definition;
    return definition ? `VM ${definition.namespace}/${definition.name}` : `VM ${uid}`;
  }

  /**
   * Asks with statistics and, if that takes too long, without: a QEMU that does not answer holds up the first call
   * that asks it, and is left out of later ones.
   */
  async #askInTime<T>(
    ask: (detail: RecordDetail, options: { readonly timeoutMs: number }) => Promise<T>,
  ): Promise<T> {
    const timeoutMs = Math.min(STATISTICS_TIMEOUT_MS, this.#callTimeoutMs / 2);
    try {
      return await ask('statistics', { timeoutMs });
    } catch (error) {
      if (!hasReason(error, 'HYPERVISOR_TIMEOUT')) throw error;
      return ask('state', { timeoutMs: this.#callTimeoutMs - timeoutMs });
    }
  }

  /** Reads a domain's XML again. One that cannot be read now is listed with what was known of it. */
  async #refresh(record: DomainRecord, signal: AbortSignal): Promise<void> {
    const { uid } = record;
    // Without the uid, as hung calls about the VM must not keep it from being listed.
    const options = { action: `read ${this.#nameOf(uid)}`, timeoutMs: PER_DOMAIN_TIMEOUT_MS };
    try {
      await this.#cache.read(record, () => this.#driver.call('readXml', [uid], options, signal));
    } catch (error) {
      if (!hasReason(error, 'VM_NOT_FOUND', 'VM_BUSY', 'HYPERVISOR_TIMEOUT')) throw error;
      this.#cache.postpone(uid);
    }
  }

  /** Whether the domain waits for a guest that still runs elsewhere. If its job does not say, its being transient does. */
  async #isIncoming(record: DomainRecord, signal: AbortSignal): Promise<boolean> {
    const { uid, state, reason } = record;
    if (!mayBeIncoming(state, reason) || this.#outgoing.has(uid)) return false;
    const options = { action: `read ${this.#nameOf(uid)}`, uid, timeoutMs: PER_DOMAIN_TIMEOUT_MS };
    try {
      const job = await this.#driver.call('getJob', [uid], options, signal);
      // A job that ended between the two looks leaves no trace, but a receiver is not persistent before its end.
      return job === undefined ? !record.persistent : job.operation === 'migration-in';
    } catch (error) {
      if (!hasReason(error, 'VM_NOT_FOUND', 'VM_BUSY', 'HYPERVISOR_TIMEOUT')) throw error;
      return !record.persistent;
    }
  }

  #onConnected(): void {
    // Nobody told us what changed while there was no connection, and libvirt may be another one now.
    this.#cache.invalidateAll();
    this.#qemuVersion = undefined;
    this.#feed.publish({ kind: 'connected' });
  }

  #onReport(report: DomainReport): void {
    if (report.kind === 'changed') return this.#cache.invalidate(report.uid);
    if (report.event.kind === 'lifecycle') this.#cache.invalidate(report.event.uid);
    this.#feed.publish(report.event);
  }
}

function toVm(
  record: DomainRecord,
  description: DomainDescription,
  isIncoming: boolean,
): HypervisorVm {
  const { state, reason } = toRunState(record.state, record.reason);
  return {
    uid: record.uid,
    hypervisorName: record.name,
    state: isIncoming ? 'incoming' : state,
    stateReason: reason,
    persistent: record.persistent,
    ...description,
    statistics: record.statistics,
  };
}
