import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import type {
  HypervisorJobs,
  HypervisorMigration,
  JobStatistics,
  MigrationObstacle,
} from '../hypervisor-jobs.ts';
import type { DefinitionCache } from './definition-cache.ts';
import { DomainDocument } from './domain-xml/domain-document.ts';
import type { DriverCalls } from './driver-calls.ts';
import { losesDirtyPagesUnderTcg } from './host-info.ts';
import { toMigrationCall } from './migration-call.ts';
import type { UefiVariables } from './uefi-variables.ts';

interface LibvirtJobsOptions {
  readonly calls: DriverCalls;
  readonly cache: DefinitionCache;
  readonly variables: UefiVariables;
}

/** Migrations as jobs of libvirt. */
export class LibvirtJobs implements HypervisorJobs {
  readonly #calls: DriverCalls;
  readonly #cache: DefinitionCache;
  readonly #variables: UefiVariables;
  /** VMs whose migration from here this process waits for. */
  readonly #outgoing = new Set<string>();

  constructor({ calls, cache, variables }: LibvirtJobsOptions) {
    this.#variables = variables;
    this.#calls = calls;
    this.#cache = cache;
  }

  isLeaving(uid: string): boolean {
    return this.#outgoing.has(uid);
  }

  async migrate(uid: string, request: HypervisorMigration, signal: AbortSignal): Promise<void> {
    const xml = await this.#calls.call('readMigratableXml', uid, [uid], 'migrate', signal);
    const call = toMigrationCall(xml, request, {
      nvramPath: this.#variables.pathOf(uid),
    });
    // Read after what is sent, so that a change in between is seen: with UNSAFE libvirt would take it.
    const { live } = await this.#calls.call('readXml', uid, [uid], 'migrate', signal);
    if (!isDeepStrictEqual(DomainDocument.parse(live).disks, request.disks)) {
      throw new AgentError(
        'MIGRATION_BLOCKED',
        `Cannot migrate ${this.#calls.nameOf(uid)}: its disks have changed since they were compared with those of the destination; start the migration again`,
      );
    }
    this.#outgoing.add(uid);
    try {
      await this.#calls.callLong('migrate', uid, [uid, call], 'migrate', signal);
    } finally {
      this.#outgoing.delete(uid);
      this.#cache.invalidate(uid);
    }
  }

  async findObstacles(uid: string, signal: AbortSignal): Promise<readonly MigrationObstacle[]> {
    const { live } = await this.#calls.call('readXml', uid, [uid], 'read', signal);
    const targets = DomainDocument.parse(live).disks.map(({ target }) => target);
    const found = await this.#calls.call('readObstacles', uid, [uid, targets], 'read', signal);
    const document = DomainDocument.parse(found.liveXml);
    const cause = document.lossyMemory;
    const isLossy =
      cause !== undefined &&
      losesDirtyPagesUnderTcg(
        await this.#calls.call('readHypervisorVersion', uid, [], 'read', signal),
      );
    const copied = new Set([...document.mirrors, ...found.blockJobs]);
    return [
      ...(found.snapshots > 0 ? [{ kind: 'snapshots', count: found.snapshots } as const] : []),
      ...[...copied].map((target) => ({ kind: 'block-job', target }) as const),
      ...document.boundDevices.map((description) => ({ kind: 'device', description }) as const),
      ...(isLossy ? [{ kind: 'lossy-memory', cause } as const] : []),
      ...(found.hasOtherJob ? [{ kind: 'job' } as const] : []),
    ];
  }

  async getJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined> {
    return this.#calls.call('getJob', uid, [uid], 'read the job of', signal);
  }

  async getCompletedJob(uid: string, signal: AbortSignal): Promise<JobStatistics | undefined> {
    return this.#calls.call('getCompletedJob', uid, [uid], 'read the last job of', signal);
  }

  async abortJob(uid: string, signal: AbortSignal): Promise<void> {
    await this.#calls.call('abortJob', uid, [uid], 'stop the job of', signal);
  }

  async setMaxDowntime(uid: string, downtimeMs: number, signal: AbortSignal): Promise<void> {
    const verb = 'change the allowed downtime of';
    await this.#calls.call('setMaxDowntime', uid, [uid, downtimeMs], verb, signal);
  }
}
