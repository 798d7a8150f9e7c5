import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import type { OperationSecrets } from '../operations/operation-secrets.ts';
import type { Again, Controller, Input, Output } from '../reconcile/controller.ts';
import type { VmDisks } from './vm-disks.ts';

export interface OrphanedFileControllerOptions {
  readonly domains: Pick<HypervisorDomains, 'find' | 'listFiles' | 'removeFiles'>;
  readonly privateFiles: Pick<PrivateFiles, 'listVms' | 'remove'>;
  readonly disks: Pick<VmDisks, 'listOwners' | 'removeLeft'>;
  readonly secrets: Pick<OperationSecrets, 'unlessInUse'>;
  readonly locks: KeyLocks;
  readonly log: Logger;
}

/**
 * Removes the private files, the variables of UEFI, the console logs and the keys of disks of VMs that are gone, and of operations that
 * have ended, and half-made disks, which an agent that was killed has left. A disk that is whole is data and stays.
 */
export class OrphanedFileController implements Controller {
  readonly name = 'orphaned-files';
  readonly inputs: readonly Input[] = ['domains', 'private-files', 'hypervisor-files'];
  readonly outputs: readonly Output[] = ['orphaned-files'];
  readonly #options: OrphanedFileControllerOptions;

  constructor(options: OrphanedFileControllerOptions) {
    this.#options = options;
  }

  /** Whoever takes a VM away takes its files; only a killed agent leaves some, and the next one looks for them once. */
  concern(): undefined {
    return undefined;
  }

  async findOthers(signal: AbortSignal): Promise<readonly string[]> {
    const { domains, privateFiles, disks } = this.#options;
    const owners = [
      ...(await privateFiles.listVms(signal)),
      ...(await domains.listFiles(signal)),
      ...(await disks.listOwners(signal)),
    ];
    return [...new Set(owners)];
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { domains, privateFiles, disks, secrets, locks, log } = this.#options;
    // Whoever makes the VM, or has it on its way to or from here, has the lock, and sees to the files at the end.
    using lock = locks.tryAcquire(vmUid, 'removal of files', { isByItself: true });
    if (lock === undefined) return undefined;
    // Of no use to the VM either, if that is here.
    await disks.removeLeft(vmUid, signal);
    // While the hypervisor is away this fails, and nothing is removed.
    if ((await domains.find(vmUid, signal)) !== undefined) return undefined;
    await domains.removeFiles(vmUid, signal);
    // Operations have files too.
    await secrets.unlessInUse(vmUid, async () => {
      await privateFiles.remove(vmUid, signal);
      log.info({ vmId: vmUid }, 'Files of a VM that is gone were removed');
    });
    return undefined;
  }
}
