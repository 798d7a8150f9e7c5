import { emptySeed, seedImage } from '../../core/cloud-init-seed.ts';
import { hasReason } from '../../core/errors.ts';
import { hasSeed } from '../../core/resources/has-seed.ts';
import { PASSWORD_FILE, USER_DATA_FILE } from '../../core/user-data.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import { passwordIn } from './vm-passwords.ts';

export interface VmSeedsOptions {
  readonly domains: Pick<HypervisorDomains, 'putSeed' | 'hasSeed'>;
  readonly privateFiles: Pick<PrivateFiles, 'read'>;
}

const SECRETS = [USER_DATA_FILE, PASSWORD_FILE];

/** Sees that the disk is there by which cloud-init in a VM's guest is told what it shall do. */
export class VmSeeds {
  readonly #options: VmSeedsOptions;

  constructor(options: VmSeedsOptions) {
    this.#options = options;
  }

  /**
   * Writes what the definition wants. If that is none, an empty one takes the place of one that is there, as that may hold what was to be taken
   * back; `isNeeded` has it made anyhow, for a VM that still runs with one. Fails with JOURNAL_FAILURE if the user data are lost.
   */
  async write(
    definition: VmDefinition,
    { isNeeded }: { readonly isNeeded: boolean },
    signal: AbortSignal,
  ): Promise<void> {
    const { domains } = this.#options;
    const { uid, spec } = definition;
    if (hasSeed(spec.template.spec)) await this.#put(definition, signal);
    else if (isNeeded || (await domains.hasSeed(uid, signal))) {
      await domains.putSeed(uid, emptySeed(), signal);
    }
  }

  /**
   * Has a VM that is to be started find what its definition wants: somebody may have taken it away, or a change may have come to nothing.
   * If the user data are lost, what is there will do.
   */
  async ensure(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { uid, spec } = definition;
    if (!hasSeed(spec.template.spec)) return;
    try {
      await this.#put(definition, signal);
    } catch (error) {
      const isThere = await this.#options.domains.hasSeed(uid, signal);
      if (!isThere || !hasReason(error, 'JOURNAL_FAILURE')) throw error;
    }
  }

  /** Fails with JOURNAL_FAILURE if a VM that is to be started could not be given what it needs; changes nothing. */
  async assertPossible(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { uid, spec, privateFiles } = definition;
    const names = SECRETS.filter((name) => privateFiles[name] !== undefined);
    if (!hasSeed(spec.template.spec) || names.length === 0) return;
    if (await this.#options.domains.hasSeed(uid, signal)) return;
    for (const name of names) await this.#read(definition, name, signal);
  }

  async #put(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const { uid } = definition;
    const userData = await this.#read(definition, USER_DATA_FILE, signal);
    const file = await this.#read(definition, PASSWORD_FILE, signal);
    const password = file && passwordIn(file);
    await this.#options.domains.putSeed(uid, seedImage(definition, { userData, password }), signal);
  }

  async #read(
    { uid, privateFiles }: VmDefinition,
    name: string,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const digest = privateFiles[name];
    if (digest === undefined) return undefined;
    return await this.#options.privateFiles.read(uid, name, digest, signal);
  }
}
