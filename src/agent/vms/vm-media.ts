import { isDeepStrictEqual } from 'node:util';
import { machineToStart, withoutEjected } from '../../core/ejected-media.ts';
import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import { parseVirtualMachine } from '../../core/resources/parse-virtual-machine.ts';
import { pathOf, type Volume } from '../../core/resources/volume.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import { type Medium, withMedium } from '../../core/vm-medium.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import { lockVm } from './busy.ts';
import type { DefinitionValidator } from './definition-validator.ts';
import { disksChanged, hasOtherDisks } from './disks-changed.ts';
import { assertSpecKnown } from './known-spec.ts';
import type { Ownership } from './ownership.ts';
import { assertRead } from './unread-vms.ts';
import type { Vm, VmRef } from './vm.ts';
import type { VmInventory } from './vm-inventory.ts';
import type { VmManager } from './vm-manager.ts';
import { isOff } from './vm-phase.ts';
import { commandNameOf } from './vm-words.ts';
import { wantedOf } from './wanted-definition.ts';

export interface VmMediaOptions {
  readonly domains: Pick<HypervisorDomains, 'find' | 'changeMedium'>;
  readonly inventory: Pick<VmInventory, 'refresh'>;
  readonly vms: Pick<VmManager, 'get'>;
  readonly validator: Pick<DefinitionValidator, 'validate'>;
  readonly ownership: Pick<Ownership, 'assertOwned'>;
  readonly locks: KeyLocks;
  readonly log: Logger;
}

/** What is to be done to the drive of a VM. */
export interface MediumChange {
  /** Name of the volume. */
  readonly volume: string;
  /** Of the image to be put in, on the node; undefined takes out what is in it. */
  readonly path: string | undefined;
  /** Takes it out of a drive that the guest holds shut. */
  readonly isForced: boolean;
}

interface MediumPlan {
  readonly vm: Vm;
  readonly definition: VmDefinition;
  /** It is so already, now and at the next start. */
  readonly isDone: boolean;
}

/** Puts media into the drives of VMs and takes them out, now and for their next starts. */
export class VmMedia {
  readonly #options: VmMediaOptions;

  constructor(options: VmMediaOptions) {
    this.#options = options;
  }

  /** Says which VM is meant and whether there is anything to do; fails if it can be told at once that it cannot be done. */
  async plan(ref: VmRef, change: MediumChange, signal: AbortSignal): Promise<MediumPlan> {
    const { inventory, vms, validator, ownership, domains } = this.#options;
    await inventory.refresh(signal);
    const vm = await vms.get(ref, signal);
    assertRead(vm);
    // A listing may know a busy VM as it was.
    const found = await domains.find(vm.definition.uid, signal);
    const current = found?.definition ?? vm.definition;
    ownership.assertOwned(current);
    assertSpecKnown(current);
    const now = [current, found?.liveDefinition ?? current].map((definition) =>
      driveOf(definition, change, current),
    );
    const { path } = change;
    // Somebody may have changed it by other means, of which no manifest tells.
    const inside = found?.disks.find(({ name }) => name === change.volume)?.images[0]?.path;
    const paths = [...now.map(pathOf), inside];
    const other = paths.find((there) => there !== undefined && there !== path);
    if (path !== undefined && other !== undefined) throw isFull(current, change, other);
    const changed = withMedium(
      withoutEjected(current, change.volume),
      change.volume,
      mediumOf(path),
    );
    if (path !== undefined) {
      parseVirtualMachine(wantedOf(changed));
      const isStarted = !isOff(vm);
      await validator.validate(wantedOf(changed), { isStarted }, signal);
    }
    const isEmptied = path === undefined && inside !== undefined;
    const isDone = !isEmptied && now.every((drive) => pathOf(drive) === path);
    if (!isDone && found !== undefined && hasOtherDisks(found)) throw disksChanged(current);
    const { generation } = current;
    const isSame = isDeepStrictEqual(changed.spec, current.spec);
    const definition = { ...changed, generation: isSame ? generation : generation + 1 };
    return { vm, definition, isDone };
  }

  /** Does it; false if it was so already. */
  async change(ref: VmRef, change: MediumChange, signal: AbortSignal): Promise<boolean> {
    const { locks, domains, inventory, log } = this.#options;
    const { volume, isForced, path } = change;
    const verb = path === undefined ? 'eject' : 'insert';
    const { definition: meant } = await this.#options.vms.get(ref, signal);
    using _lock = await lockVm(locks, meant, { verb }, signal);
    // What was looked at must still be what is there.
    const { definition, isDone } = await this.plan(ref, change, signal);
    if (isDone) return false;
    await domains.changeMedium(definition, volume, { isForced }, signal);
    log.info({ vmId: definition.uid, operation: verb }, 'VM changed');
    await inventory.refresh(signal);
    return true;
  }
}

function mediumOf(path: string | undefined): Medium {
  if (path === undefined) return undefined;
  return path.startsWith('/dev/') ? { block: { path } } : { file: { path } };
}

/** A name that is almost right must not hit another drive, nor be taken for done. */
function driveOf(
  definition: VmDefinition,
  { volume: name, path }: MediumChange,
  { name: vm, uid }: VmDefinition,
): Volume {
  const volumes = machineToStart(definition).volumes ?? [];
  const volume = volumes.find((candidate) => candidate.name === name);
  if (volume?.kind === 'cdrom') return volume;
  const drives = volumes.filter(({ kind }) => kind === 'cdrom').map((drive) => drive.name);
  const known = drives.length === 0 ? 'it has none' : `its drives are: ${drives.join(', ')}`;
  const what =
    volume === undefined ? 'it has no volume of that name' : 'that is a disk, not a drive';
  throw new AgentError(
    'INVALID_REQUEST',
    `Cannot ${path === undefined ? 'eject' : 'insert into'} ${name} of VM ${vm}: ${what}; ${known}`,
    { metadata: { vmId: uid } },
  );
}

function isFull(definition: VmDefinition, { volume }: MediumChange, path: string): AgentError {
  return new AgentError(
    'DEVICE_IN_USE',
    `Cannot insert into ${volume} of VM ${definition.name}: ${path} is in it; take that out first with novactl vm eject ${commandNameOf(definition)} ${volume}`,
    { metadata: { vmId: definition.uid } },
  );
}
