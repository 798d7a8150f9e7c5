import { madeDiskOf } from '../../core/made-disks.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import { isMadeByAgent, volumesOf } from '../../core/resources/volumes-of.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';

/** What becomes of disks that were made before, in sentences. */
export function* changeNotes(
  next: VmDefinition,
  before: VmDefinition | undefined,
  gone: ReadonlySet<string>,
): Generator<string> {
  if (before === undefined) return;
  const [now, then] = [next, before].map(usedDisks);
  for (const [name, { path: file }] of Object.entries(next.madeDisks)) {
    const isUsed = now?.has(name) === true;
    const wasUsed = then?.has(name) === true;
    if (wasUsed && !isUsed) {
      yield `Volume ${name} no longer has the disk ${file}; it stays with what is on it: a volume of that name with its size has it again, and novactl vm delete --delete-disks removes it with the VM`;
    }
    const isKept = madeDiskOf(before.madeDisks, name) !== undefined;
    if (isUsed && isKept) yield* imageNotes(name, next);
    if (isUsed && !wasUsed && isKept) {
      yield gone.has(file)
        ? `Volume ${name} is to have the disk ${file} again, which is not there; put it back, or give the volume another name for an empty one`
        : `Volume ${name} has the disk ${file} again, with what is on it`;
    }
  }
}

/** An image makes a disk once, whatever the manifest says later. */
function* imageNotes(name: string, { spec, madeDisks }: VmDefinition): Generator<string> {
  const image = volumesOf(spec.template.spec).find((one) => one.name === name)?.source?.image;
  const made = madeDiskOf(madeDisks, name);
  if (image === undefined || made === undefined) return;
  const { source, digest = made.image?.digest } = image;
  if (made.image?.source === source && made.image.digest === digest) return;
  const from =
    made.image === undefined
      ? 'was made empty'
      : `was made from ${shownSource(made.image.source)} (${made.image.digest})`;
  yield `Volume ${name} keeps its disk, which ${from}: the image ${shownSource(source)} is used only when a disk is made; give the volume another name for a disk from it`;
}

/** That a VM with disks which are about to be made cannot move live, and what would allow it. */
export function localityNotes(
  { spec }: VmDefinition,
  newVolumes: readonly string[],
  { folder, isLocal }: { readonly folder: string; readonly isLocal: boolean },
): readonly string[] {
  if (spec.migrationPolicy?.allowLiveMigration === false) return [];
  const local = volumesOf(spec.template.spec)
    .filter((volume) => newVolumes.includes(volume.name) && volume.shared !== true)
    .map(({ name }) => name);
  if (local.length === 0) return [];
  const [volumes, is] = local.length === 1 ? ['Volume', 'is'] : ['Volumes', 'are'];
  const what = `${volumes} ${local.join(' and ')} ${is} made in ${folder}`;
  const shared = `say shared: true of ${local.length === 1 ? 'the volume' : 'each'}`;
  return [
    isLocal
      ? `${what}, which this node alone has, so the VM cannot be moved live: for that let the agent's setting images.diskFolder be a folder that all nodes have under the same path, and ${shared}; or say migrationPolicy.allowLiveMigration: false if it is to stay`
      : `${what} and not said to be shared, so the VM cannot be moved live: if all nodes have that folder, ${shared}`,
  ];
}

/** The volumes that have the disks which were made for them. */
function usedDisks({ spec }: VmDefinition): ReadonlySet<string> {
  const volumes = volumesOf(spec.template.spec).filter(isMadeByAgent);
  return new Set(volumes.map(({ name }) => name));
}

/** The disks that stay where a VM is deleted without them, for people; undefined if there are none. */
export function keptDisksNote({ madeDisks }: VmDefinition): string | undefined {
  const disks = Object.values(madeDisks);
  const paths = disks.map(({ path: file }) => file);
  if (paths.length === 0) return undefined;
  const [disk, it] = paths.length === 1 ? ['Its disk stays', 'it'] : ['Its disks stay', 'them'];
  const secrets = [...new Set(disks.flatMap(({ encryption }) => encryption?.secret ?? []))];
  // Its own copies of the keys go with it.
  const encrypted =
    secrets.length === 0
      ? ''
      : `. What is encrypted is read only with the key that the secret ${secrets.join(' or ')} had when it was made: keep that, and a VM with this uid and a volume of that name has it again`;
  const unless = secrets.length === 0 ? '' : ' unless it is encrypted';
  return `${disk}: ${paths.join(' and ')}; another VM can name ${it} as source.file${unless}, and rm removes ${it}, as vm delete --delete-disks would have done${encrypted}`;
}

/** That disks may grow beyond the room that there is. */
export function roomNote(wantedBytes: number, availableBytes: number, folder: string): string {
  const [all, free] = [wantedBytes, availableBytes].map(roughly);
  return `The disks to be made may grow to ${all}, and ${folder} has room for ${free}: once that is full the VM is paused until there is more`;
}

/** For people: three digits will do. */
function roughly(bytes: number): string {
  const units = ['Ti', 'Gi', 'Mi'].map((unit, index) => [unit, 2 ** (40 - 10 * index)] as const);
  const [unit, size] = units.find(([, one]) => bytes >= one) ?? ['Mi', 2 ** 20];
  return `${Number((bytes / size).toPrecision(3))}${unit}`;
}
