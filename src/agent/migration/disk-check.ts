import { hasReason } from '../../core/errors.ts';
import { newProbeMark } from '../../core/probe-mark.ts';
import type {
  DiskProbe,
  ImagePlace,
  ImageSighting,
  MarkedImage,
  MarkedPlace,
} from '../../drivers/disk-probe.ts';
import type { HypervisorImage, HypervisorVm } from '../../drivers/hypervisor-domains.ts';
import { DiskJudge, type DiskReport, isLocal, type OpenImage } from './disk-judge.ts';
import type { MigrationSpec } from './migration.ts';
import type { Peer } from './peers.ts';

export interface DiskCheckOptions {
  readonly nodeName: string;
  readonly diskProbe: Pick<DiskProbe, 'mark'>;
}

/**
 * Finds out for every image that the VM really has open whether the other node would open the same one, and names those of
 * which that is not certain. The marks that this leaves beside the images are gone when it returns.
 */
export async function checkDisks(
  vm: HypervisorVm,
  spec: MigrationSpec,
  peer: Peer,
  options: DiskCheckOptions,
  signal: AbortSignal,
): Promise<DiskReport> {
  // Of the others it is known that they stand in the way.
  const shared = vm.disks.filter((disk) => !isLocal(disk, vm));
  const open = shared.flatMap((disk) =>
    disk.images.map((image, depth) => ({ disk, image, depth })),
  );
  const judge = new DiskJudge(vm, spec, peer.nodeName, options.nodeName);
  judge.checkTrust();
  for (const disk of shared) judge.checkCache(disk);
  if (open.length === 0) return judge.report();
  await using marked = await markAll(vm.uid, open, options.diskProbe, signal);
  const sightings = await lookThere(vm.uid, open, marked.images, peer, signal);
  for (const [index, one] of open.entries()) {
    judge.judge(one, marked.images[index] ?? NOT_LOOKED_AT, sightings[index] ?? NOT_LOOKED_AT);
  }
  return judge.report();
}

const NOT_LOOKED_AT = { kind: 'unknown', problem: 'nobody has looked' } as const;
const TOO_OLD = {
  kind: 'unknown',
  problem: 'its agent is too old to compare images; upgrade it',
} as const;

async function markAll(
  vmUid: string,
  open: readonly OpenImage[],
  probe: Pick<DiskProbe, 'mark'>,
  signal: AbortSignal,
): Promise<AsyncDisposable & { readonly images: readonly MarkedImage[] }> {
  const places = open.flatMap(({ image }) => {
    const place = placeOf(image);
    return place === undefined ? [] : { ...place, vmUid };
  });
  const marked = await probe.mark(places, signal);
  const found = [...marked.images];
  const images = open.map(({ image }): MarkedImage => {
    if (placeOf(image) !== undefined) return found.shift() ?? NOT_LOOKED_AT;
    return { kind: 'unknown', problem: 'it is no file or block device of the node' };
  });
  return { images, [Symbol.asyncDispose]: () => marked[Symbol.asyncDispose]() };
}

function placeOf({ kind, path, format }: HypervisorImage): ImagePlace | undefined {
  return kind === 'other' ? undefined : { kind, path, format };
}

/** What the other node has. Also asked of what could not be looked at here, as it may not be for its VMs. */
async function lookThere(
  vmUid: string,
  open: readonly OpenImage[],
  marked: readonly MarkedImage[],
  peer: Peer,
  signal: AbortSignal,
): Promise<readonly ImageSighting[]> {
  const asked = open.map(({ image }, index): MarkedPlace | undefined => {
    const [place, here] = [placeOf(image), marked[index]];
    if (place === undefined || here === undefined) return undefined;
    if (place.kind === 'block') return { ...place, mark: '' };
    return { ...place, mark: here.kind === 'file' ? here.mark : newProbeMark() };
  });
  const places = asked.filter((place) => place !== undefined);
  const answers = [...(await ask(vmUid, places, peer, signal))];
  return asked.map((place) => (place && answers.shift()) ?? NOT_LOOKED_AT);
}

async function ask(
  vmUid: string,
  places: readonly MarkedPlace[],
  peer: Peer,
  signal: AbortSignal,
): Promise<readonly ImageSighting[]> {
  if (places.length === 0) return [];
  try {
    return await peer.compareImages(vmUid, places, signal);
  } catch (error) {
    if (!hasReason(error, 'PEER_INCOMPATIBLE')) throw error;
    return places.map(() => TOO_OLD);
  }
}
