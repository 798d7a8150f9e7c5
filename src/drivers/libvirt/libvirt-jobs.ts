import type { HypervisorJobs, HypervisorMigration, JobStatistics } from '../hypervisor-jobs.ts';
import type { DefinitionCache } from './definition-cache.ts';
import type { DriverCalls } from './driver-calls.ts';
import { toMigrationCall } from './migration-call.ts';
import type { UefiVariables } from './uefi-variables.ts';

/** Migrations as jobs of libvirt. */
export class LibvirtJobs implements HypervisorJobs {
  readonly #calls: DriverCalls;
  readonly #cache: DefinitionCache;
  readonly #variables: UefiVariables;
  /** VMs whose migration from here this process waits for. */
  readonly #outgoing = new Set<string>();

  constructor(calls: DriverCalls, cache: DefinitionCache, variables: UefiVariables) {
    this.#variables = variables;
    this.#calls = calls;
    this.#cache = cache;
  }

  isLeaving(uid: string): boolean {
    return this.#outgoing.has(uid);
  }

  async migrate(uid: string, request: HypervisorMigration, signal: AbortSignal): Promise<void> {
    const xml = await this.#calls.call('readMigratableXml', uid, [uid], 'migrate', signal);
    const call = toMigrationCall(xml, request, this.#variables.pathOf(uid));
    this.#outgoing.add(uid);
    try {
      await this.#calls.callLong('migrate', uid, [uid, call], 'migrate', signal);
    } finally {
      this.#outgoing.delete(uid);
      this.#cache.invalidate(uid);
    }
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
