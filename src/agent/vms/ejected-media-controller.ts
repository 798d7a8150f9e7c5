import { withEjected } from '../../core/ejected-media.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import {
  type HypervisorDomains,
  type HypervisorVm,
  isOn,
} from '../../drivers/hypervisor-domains.ts';
import type { Again, Controller, Input, Output, SeenVm } from '../reconcile/controller.ts';
import type { Ownership } from './ownership.ts';

export interface EjectedMediaControllerOptions {
  readonly domains: Pick<HypervisorDomains, 'find' | 'keepEjected'>;
  readonly ownership: Pick<Ownership, 'isOwner' | 'isStale' | 'isStray'>;
  readonly locks: KeyLocks;
  readonly onChange: () => void;
  readonly log: Logger;
}

/** Whoever has the VM now is soon done with it. */
const BUSY_MS = 100;

interface OpenDrive {
  readonly volume: string;
  readonly path: string;
}

/**
 * Takes out of drives what guests have ejected, so that it stays out. QEMU would shut the drive at the guest's next reboot, with
 * the medium still in it, and libvirt has it in at every start: an installed guest would boot its installer again.
 */
export class EjectedMediaController implements Controller {
  readonly name = 'ejected-media';
  readonly inputs: readonly Input[] = ['domains', 'ownership'];
  readonly outputs: readonly Output[] = ['ejected-media'];
  readonly #options: EjectedMediaControllerOptions;

  constructor(options: EjectedMediaControllerOptions) {
    this.#options = options;
  }

  concern({ domain, vm }: SeenVm): string | undefined {
    // What is moving is the other node's to see to, which finds the drive open.
    if (domain === undefined || vm === undefined || vm.migration !== undefined) return undefined;
    const drives = this.#openDrivesOf(domain);
    return drives.length === 0 ? undefined : drives.map(({ volume }) => volume).join(' ');
  }

  async reconcile(vmUid: string, signal: AbortSignal): Promise<Again | undefined> {
    const { domains, locks, onChange, log } = this.#options;
    using lock = locks.tryAcquire(vmUid, 'emptying of a drive', { isByItself: true });
    if (lock === undefined) return { afterMs: BUSY_MS };
    const found = await domains.find(vmUid, signal);
    if (found?.definition === undefined) return undefined;
    let { definition } = found;
    for (const { volume, path } of this.#openDrivesOf(found)) {
      const ejected = withEjected(definition, volume, path);
      if (!(await domains.keepEjected(ejected, volume, signal))) continue;
      definition = ejected;
      log.info({ vmId: vmUid, volume }, 'A medium that a guest has ejected was taken out');
      onChange();
    }
    return undefined;
  }

  /** Those of its own volumes that its guest has opened with a medium in it. */
  #openDrivesOf(found: HypervisorVm): readonly OpenDrive[] {
    const { uid, definition, state, volumes } = found;
    const { ownership } = this.#options;
    // At nearly every look at nearly every VM.
    if (!volumes.some(({ isOpen }) => isOpen === true)) return [];
    if (definition === undefined || definition.newer !== undefined) return [];
    if (!isOn(found) || state === 'incoming') return [];
    const isOurs =
      ownership.isOwner(uid) && !ownership.isStale(definition) && !ownership.isStray(definition);
    if (!isOurs) return [];
    const drives = new Set(
      [definition, found.liveDefinition].flatMap((one) =>
        (one?.spec.template.spec.volumes ?? [])
          .filter(({ kind }) => kind === 'cdrom')
          .map(({ name }) => name),
      ),
    );
    return volumes.flatMap(({ name, path, isOpen }) =>
      isOpen === true && path !== undefined && drives.has(name) ? [{ volume: name, path }] : [],
    );
  }
}
