import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { HypervisorDomains, HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';

export interface OrphanedFilesOptions {
  readonly domains: Pick<HypervisorDomains, 'find'>;
  readonly privateFiles: Pick<PrivateFiles, 'listVms' | 'remove'>;
  readonly locks: KeyLocks;
  readonly log: Logger;
}

const CALL_TIMEOUT_MS = 10_000;

/** Removes the private files of VMs that are gone, which an agent that was killed has left. */
export class OrphanedFiles {
  readonly #options: OrphanedFilesOptions;
  #looked = false;

  constructor(options: OrphanedFilesOptions) {
    this.#options = options;
  }

  /** Looks once for each agent, after it has listed its VMs. Failures are logged; the next listing brings the next try. */
  async remove(listed: readonly HypervisorVm[]): Promise<void> {
    if (this.#looked) return;
    this.#looked = true;
    const { privateFiles, log } = this.#options;
    const present = new Set(listed.map(({ uid }) => uid));
    try {
      const owners = await privateFiles.listVms(AbortSignal.timeout(CALL_TIMEOUT_MS));
      for (const vmUid of owners) if (!present.has(vmUid)) await this.#removeOf(vmUid);
    } catch (error) {
      this.#looked = false;
      log.error({ err: error }, 'Could not remove private files of VMs that are gone');
    }
  }

  async #removeOf(vmUid: string): Promise<void> {
    const { domains, privateFiles, locks, log } = this.#options;
    // Whoever makes the VM, or has it on its way to or from here, has the lock, and sees to the files at the end.
    using lock = locks.tryAcquire(vmUid, 'removal of private files');
    if (lock === undefined) return;
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS);
    // It may have come since it was listed. While the hypervisor is away this fails, and nothing is removed.
    if ((await domains.find(vmUid, signal)) !== undefined) return;
    await privateFiles.remove(vmUid, signal);
    log.info({ vmId: vmUid }, 'Private files of a VM that is gone were removed');
  }
}
