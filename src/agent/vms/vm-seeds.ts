import { hasSeed, seedImage } from '../../core/cloud-init-seed.ts';
import { USER_DATA_FILE } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';

export interface VmSeedsOptions {
  readonly domains: Pick<HypervisorDomains, 'putSeed' | 'hasSeed'>;
  readonly privateFiles: Pick<PrivateFiles, 'read'>;
}

/** Sees that the disk is there by which cloud-init in a VM's guest is told what it shall do. */
export class VmSeeds {
  readonly #options: VmSeedsOptions;

  constructor(options: VmSeedsOptions) {
    this.#options = options;
  }

  /** Writes what the definition wants, if that is one. Fails with JOURNAL_FAILURE if the user data are lost. */
  async write(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { uid, spec, privateFiles } = definition;
    if (!hasSeed(spec.template.spec)) return;
    const digest = privateFiles[USER_DATA_FILE];
    const userData =
      digest === undefined
        ? undefined
        : await this.#options.privateFiles.read(uid, USER_DATA_FILE, digest, signal);
    await this.#options.domains.putSeed(uid, seedImage(definition, userData), signal);
  }

  /** Writes it anew if somebody has taken it away. */
  async ensure(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { uid, spec } = definition;
    if (!hasSeed(spec.template.spec)) return;
    if (!(await this.#options.domains.hasSeed(uid, signal))) await this.write(definition, signal);
  }
}
