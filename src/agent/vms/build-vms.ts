import { adoptOperation } from './adopt-operation.ts';
import { HookSteps, type HookStepsOptions } from './hook-steps.ts';
import { mediaOperations } from './media-operations.ts';
import type { Startability } from './startability.ts';
import { VmAdopter, type VmAdopterOptions } from './vm-adopter.ts';
import { VmApplier, type VmApplierOptions } from './vm-applier.ts';
import { VmCreator, type VmCreatorOptions } from './vm-creator.ts';
import { VmDeleter, type VmDeleterOptions } from './vm-deleter.ts';
import { VmImages, type VmImagesOptions } from './vm-images.ts';
import type { VmInventory } from './vm-inventory.ts';
import { VmManager, type VmManagerOptions } from './vm-manager.ts';
import { VmMedia, type VmMediaOptions } from './vm-media.ts';
import { vmOperations } from './vm-operations.ts';

type VmsOptions = VmCreatorOptions &
  VmAdopterOptions &
  Omit<VmApplierOptions, 'creator'> &
  VmDeleterOptions &
  Omit<VmManagerOptions, 'creator' | 'applier' | 'adopter' | 'deleter'> &
  Omit<VmMediaOptions, 'vms'> & {
    readonly inventory: VmInventory;
    readonly startability: Startability;
    readonly hookRuns: HookStepsOptions['runs'];
    readonly imageManager: VmImagesOptions['manager'];
    readonly disks: VmImagesOptions['disks'];
    readonly diskCopies: VmImagesOptions['copies'];
  };

/** What is done to VMs when it is asked for. */
export function buildVms(all: VmsOptions) {
  const { inventory, startability, hookRuns, imageManager, disks, diskCopies } = all;
  const creator = new VmCreator(all);
  const applier = new VmApplier({ ...all, creator });
  const adopter = new VmAdopter(all);
  const deleter = new VmDeleter(all);
  const manager = new VmManager({ ...all, creator, applier, adopter, deleter });
  const hookSteps = new HookSteps({
    runs: hookRuns,
    definitionOf: (vmUid) => inventory.findByUid(vmUid)?.definition,
    noteStartFailure: (vmUid, error) => startability.noteFailure(vmUid, error),
  });
  const works = vmOperations(manager, hookSteps);
  const images = new VmImages({ manager: imageManager, disks, copies: diskCopies, inventory });
  return {
    manager,
    /** Those of it that go on by themselves once they have begun. */
    works: {
      ...works,
      create: images.before(works.create),
      apply: images.before(works.apply),
      ...mediaOperations(new VmMedia({ ...all, vms: manager })),
      adopt: adoptOperation(adopter),
    },
  };
}
