import {
  DISK_KEYS_FILE,
  type DiskKeys,
  readDiskKeys,
  writeDiskKeys,
} from '../../core/disk-keys.ts';
import { AgentError, hasReason } from '../../core/errors.ts';
import { madeDiskOf } from '../../core/made-disks.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { volumeFieldOf, volumesOf } from '../../core/resources/volumes-of.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { NodeSecrets } from '../../drivers/node-secrets.ts';
import type { PrivateFiles } from '../../drivers/private-files.ts';
import { MACHINE } from './file-violations.ts';
import { readSecretLine } from './secret-line.ts';

export interface VmDiskKeysOptions {
  readonly domains: Pick<HypervisorDomains, 'putDiskKeys'>;
  readonly privateFiles: Pick<PrivateFiles, 'read'>;
}

/**
 * Sees that the hypervisor has the keys of a VM's encrypted disks whenever it opens them. They are kept in a private file of the VM for
 * as long as that is there: the hypervisor forgets them.
 */
export class VmDiskKeys {
  readonly #options: VmDiskKeysOptions;

  constructor(options: VmDiskKeysOptions) {
    this.#options = options;
  }

  /**
   * The content of the private file with the keys of disks that are yet to be made, beside those that are there; undefined if there are
   * none to add. Fails with SECRET_NOT_FOUND or INVALID_SPEC, by field.
   */
  async add(
    spec: VmSpec,
    current: VmDefinition | undefined,
    secrets: NodeSecrets,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const machine = spec.template.spec;
    const added: [string, string][] = [];
    for (const { name, encryption } of volumesOf(machine)) {
      const isMade = current !== undefined && madeDiskOf(current.madeDisks, name) !== undefined;
      if (encryption === undefined || isMade) continue;
      const field = `${MACHINE}.${volumeFieldOf(machine, name)}.encryption.secret`;
      const secret = { name: encryption.secret, field, what: 'the key' };
      added.push([name, await readSecretLine(secret, secrets, signal)]);
    }
    if (added.length === 0) return undefined;
    const before = current === undefined ? {} : await this.of(current, signal);
    return writeDiskKeys({ ...before, ...Object.fromEntries(added) });
  }

  /** Those of a VM, also of disks that its spec has no longer. Fails with JOURNAL_FAILURE if they are lost. */
  async of({ uid, name, privateFiles }: VmDefinition, signal: AbortSignal): Promise<DiskKeys> {
    const digest = privateFiles[DISK_KEYS_FILE];
    if (digest === undefined) return {};
    try {
      const content = await this.#options.privateFiles.read(uid, DISK_KEYS_FILE, digest, signal);
      return readDiskKeys(content);
    } catch (error) {
      if (!hasReason(error, 'JOURNAL_FAILURE')) throw error;
      throw lost({ uid, name }, error.message, error);
    }
  }

  /** That of a disk that is made, or is about to be; undefined for one that is not encrypted. Fails as `of`. */
  async find(
    definition: VmDefinition,
    volumeName: string,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const disk = madeDiskOf(definition.madeDisks, volumeName);
    if (disk?.encryption === undefined) return undefined;
    const keys = await this.of(definition, signal);
    if (Object.hasOwn(keys, volumeName)) return keys[volumeName];
    // Without it the disk would be made for everybody to read.
    throw lost(definition, `there is none of ${volumeName} among them`);
  }

  /** Has a VM that is to be started, or to arrive, find its keys. Fails with FEATURE_NOT_SUPPORTED too. */
  async ensure(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    const keys = await this.of(definition, signal);
    if (Object.keys(keys).length === 0) return;
    await this.#options.domains.putDiskKeys(definition.uid, keys, signal);
  }

  /** Fails with JOURNAL_FAILURE if a VM that is to be started could not have them; changes nothing. */
  async assertPossible(definition: VmDefinition, signal: AbortSignal): Promise<void> {
    await this.of(definition, signal);
  }
}

function lost(
  { uid, name }: Pick<VmDefinition, 'uid' | 'name'>,
  why: string,
  cause?: AgentError,
): AgentError {
  return new AgentError(
    'JOURNAL_FAILURE',
    `Cannot open the encrypted disks of VM ${name}: this node has lost their keys (${why}); put its file of keys back from a copy of the agent's state`,
    { metadata: { vmId: uid }, cause },
  );
}
