import type { AgentParts } from './agent-parts.ts';
import { DiskCopies } from './images/disk-copies.ts';
import { ImageManager } from './images/image-manager.ts';
import type { OperationBook } from './operations/operation-book.ts';
import { VmDiskKeys } from './vms/vm-disk-keys.ts';
import { VmDisks } from './vms/vm-disks.ts';
import { wantedBy } from './vms/vm-images.ts';
import { VmSeeds } from './vms/vm-seeds.ts';

/** What disks of VMs are made from, and the disks, with their keys and those for cloud-init. */
export function buildDisks(parts: AgentParts, operationBook: Pick<OperationBook, 'listOpen'>) {
  const { images, nodeName, privateFiles, log } = parts;
  const { host, domains } = parts.hypervisor;
  const imageManager = new ImageManager({
    store: parts.imageStore,
    fetcher: parts.imageFetcher,
    images,
    host,
    nodeSecrets: parts.nodeSecrets,
    ...parts.imageLimits,
    nodeName,
    listWanted: () => wantedBy(operationBook.listOpen()),
    log,
  });
  const diskKeys = new VmDiskKeys({ domains, privateFiles });
  const diskCopies = new DiskCopies({ files: parts.diskFiles, host, log });
  const disks = new VmDisks({
    files: parts.diskFiles,
    images,
    sources: imageManager,
    copies: diskCopies,
    host,
    keys: diskKeys,
    folder: parts.diskFolder,
    hasPeers: () => parts.peers.list().some((peer) => peer.nodeName !== nodeName),
  });
  const seeds = new VmSeeds({ domains, privateFiles });
  return { imageManager, diskCopies, disks, diskKeys, seeds };
}
