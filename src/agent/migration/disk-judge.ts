import type { Volume } from '../../core/resources/volume.ts';
import { volumeFieldOf, volumesOf } from '../../core/resources/volumes-of.ts';
import type { ImageSighting, MarkedImage } from '../../drivers/disk-probe.ts';
import type {
  HypervisorDisk,
  HypervisorImage,
  HypervisorVm,
} from '../../drivers/hypervisor-domains.ts';
import { commandNameOf } from '../vms/vm-words.ts';
import { compareImages, describeImage } from './image-comparison.ts';
import type { MigrationBlocker, MigrationImage, MigrationSpec } from './migration.ts';

export interface DiskBlocker extends MigrationBlocker {
  /** The path under which the other node has nothing; undefined if that is not what stands in the way. */
  readonly lacks: string | undefined;
  /** The path under which this node has no longer what the VM has open; undefined if that is not what stands in the way. */
  readonly lost: string | undefined;
}

export interface DiskReport {
  readonly blockers: readonly DiskBlocker[];
  /** Every image that the VM has open. */
  readonly images: readonly MigrationImage[];
}

/** One image of a VM that runs. */
export interface OpenImage {
  readonly disk: HypervisorDisk;
  readonly image: HypervisorImage;
  /** 0 is what the guest writes to; those behind it are only read. */
  readonly depth: number;
}

/** Turns findings into what stands in the way, in words. */
export class DiskJudge {
  readonly #blockers: DiskBlocker[] = [];
  readonly #images: MigrationImage[] = [];
  readonly #vm: HypervisorVm;
  readonly #trusted: readonly string[];
  readonly #there: string;
  readonly #here: string;

  constructor(vm: HypervisorVm, spec: MigrationSpec, there: string, here: string) {
    this.#vm = vm;
    this.#trusted = spec.trustedVolumes ?? [];
    this.#there = there;
    this.#here = here;
  }

  report(): DiskReport {
    return { blockers: this.#blockers, images: this.#images };
  }

  /** A name that is none of the VM's may be a slip that leaves another disk without what was meant for it. */
  checkTrust(): void {
    const names = this.#vm.disks.map(({ name }) => name);
    for (const name of this.#trusted.filter((trusted) => !names.includes(trusted))) {
      const known = names.length === 0 ? 'none' : names.join(', ');
      this.#blockers.push({
        reason: 'INVALID_REQUEST',
        message: `it has no volume ${name} that could be trusted to be shared; its volumes are: ${known}`,
        nodeName: this.#here,
        subject: 'spec.trustShared',
        lacks: undefined,
        lost: undefined,
      });
    }
  }

  /**
   * QEMU writes out what it has cached before it hands a disk over, and the one that takes it over drops what the host has
   * cached (block/file-posix.c, drop-cache), so all modes are safe but the one in which nothing is written out.
   */
  checkCache(disk: HypervisorDisk): void {
    if (disk.cache !== 'unsafe' || disk.readOnly || disk.images.length === 0) return;
    const text = `volume ${disk.name} has the cache mode unsafe, with which what the guest has written need not be in the storage when node ${this.#there} reads it; change it to none or writeback and restart the VM`;
    this.#block(disk, text, this.#here);
  }

  judge(open: OpenImage, here: MarkedImage, there: ImageSighting): void {
    const { disk, image, depth } = open;
    const what = `volume ${disk.name}: ${depth === 0 ? '' : 'its backing image '}${image.path}`;
    const trusted = this.#trusted.includes(disk.name);
    const comparison = compareImages(here, there);
    const own = `node ${this.#here} has ${describeImage(here)}`;
    // Whatever is there, it is not what the VM has open.
    const isReplaced = here.kind === 'replaced';
    const both = isReplaced ? own : `${own}, node ${this.#there} has ${describeImage(there)}`;
    const onWord = `migrate with --trust-shared ${disk.name} (trust_shared)`;
    switch (comparison.verdict) {
      case 'same':
        this.#note(open, 'same', `both nodes have ${describeImage(comparison.there)}`);
        return;
      case 'refused': {
        const text = `cannot be used on node ${this.#there}: ${comparison.problem}`;
        this.#note(open, 'unknown', text);
        // No word of whoever asks opens what the node keeps from its VMs.
        this.#block(disk, `${what} ${text}`, this.#there, 'IMAGE_NOT_ALLOWED');
        return;
      }
      case 'unknown': {
        const node = comparison.side === 'here' ? this.#here : this.#there;
        const text = `it cannot be found out whether it is the same on both nodes, on node ${node}: ${comparison.problem}`;
        if (trusted) {
          this.#note(open, 'trusted', text);
          return;
        }
        this.#note(open, 'unknown', text);
        this.#block(disk, `${what}: ${text}; if you know that it is, ${onWord}`, node);
        return;
      }
      default: {
        // What is only read may be there as a copy, for which only somebody who knows can vouch.
        const mayBeCopy = (disk.readOnly || depth > 0) && comparison.why === 'unmarked';
        if (mayBeCopy && trusted) {
          this.#note(open, 'trusted', both);
          return;
        }
        this.#note(open, 'different', both);
        const isDrive = findVolume(disk, this.#vm)?.kind === 'cdrom';
        const eject = isDrive
          ? `; or take it out with novactl vm eject ${nameOf(this.#vm)} ${disk.name}`
          : '';
        const copy = mayBeCopy ? `; if that is a copy with the same content, ${onWord}` : '';
        const advice = comparison.why === 'replaced' ? this.#toSave(open) : ADVICE[comparison.why];
        const text = `${what} is not the same on both nodes: ${both}; ${advice}${copy}${eject}`;
        const lacks = comparison.why === 'missing' ? image.path : undefined;
        const lost = isReplaced ? image.path : undefined;
        const node = isReplaced ? this.#here : this.#there;
        this.#block(disk, text, node, 'MIGRATION_BLOCKED', { lacks, lost });
      }
    }
  }

  /** What to do about a file that nobody but QEMU has any more. */
  #toSave({ disk, depth }: OpenImage): string {
    if (disk.readOnly) return 'put that file back under the path';
    const which = depth === 0 ? 'it alone has what the guest has written' : 'the disk needs it';
    return `${which}, so have it go on with a copy before it ends: virsh blockcopy ${this.#vm.hypervisorName} ${disk.target} FILE --transient-job --wait --pivot; then apply its manifest with FILE`;
  }

  #note({ disk, image }: OpenImage, verdict: MigrationImage['verdict'], message: string): void {
    this.#images.push({ volume: disk.name, path: image.path, verdict, message });
  }

  #block(
    disk: HypervisorDisk,
    message: string,
    nodeName: string,
    reason: MigrationBlocker['reason'] = 'MIGRATION_BLOCKED',
    { lacks, lost }: Partial<Pick<DiskBlocker, 'lacks' | 'lost'>> = {},
  ): void {
    const subject = fieldOf(disk, this.#vm);
    this.#blockers.push({ reason, message, nodeName, subject, lacks, lost });
  }
}

function nameOf({ definition, hypervisorName }: HypervisorVm): string {
  return definition === undefined ? hypervisorName : commandNameOf(definition);
}

const ADVICE = {
  missing: 'mount the same storage under this path there',
  unmarked: 'mount the same storage under this path on both nodes',
  attributes: 'see to it that the path leads to one and the same on both nodes',
} as const;

/** The volume of the spec that a disk was made for, or else its guest device. */
function fieldOf(disk: HypervisorDisk, vm: HypervisorVm): string {
  const definition = vm.liveDefinition ?? vm.definition;
  const machine = definition?.spec.template.spec;
  const isKnown =
    machine !== undefined && volumesOf(machine).some(({ name }) => name === disk.name);
  return isKnown ? `spec.template.spec.${volumeFieldOf(machine, disk.name)}` : disk.target;
}

/** Disks that are not called shared. They would have to be copied, which cannot be done yet. */
export function localDiskBlockers(vm: HypervisorVm, nodeName: string): MigrationBlocker[] {
  return vm.disks
    .filter((disk) => isLocal(disk, vm))
    .map((disk) => ({
      reason: 'MIGRATION_BLOCKED',
      message: `volume ${disk.name} (${disk.images[0]?.path}) is not on shared storage, and copying volumes is not supported; put it on storage that both nodes reach under this path and mark it shared`,
      nodeName,
      subject: fieldOf(disk, vm),
    }));
}

/** What the spec does not know nobody can have called anything, so it only has to be the same. */
export function isLocal(disk: HypervisorDisk, vm: HypervisorVm): boolean {
  if (disk.readOnly || disk.images.length === 0) return false;
  const volume = findVolume(disk, vm);
  return volume !== undefined && volume.shared !== true;
}

/** By the newest word on it: what a volume is called is in force at once. */
function findVolume({ name }: HypervisorDisk, vm: HypervisorVm): Volume | undefined {
  const definitions = [vm.definition, vm.liveDefinition];
  for (const definition of definitions) {
    const machine = definition?.spec.template.spec;
    const found = machine && volumesOf(machine).find((volume) => volume.name === name);
    if (found !== undefined) return found;
  }
  return undefined;
}
