import type { AgentParts } from './agent-parts.ts';
import { ImageManager } from './images/image-manager.ts';
import type { OperationBook } from './operations/operation-book.ts';
import { VmDisks } from './vms/vm-disks.ts';
import { wantedBy } from './vms/vm-images.ts';

/** What disks of VMs are made from, and the disks. */
export function buildDisks(parts: AgentParts, operationBook: Pick<OperationBook, 'listOpen'>) {
  const { images, nodeName, log } = parts;
  const { host } = parts.hypervisor;
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
  const disks = new VmDisks({
    files: parts.diskFiles,
    images,
    sources: imageManager,
    host,
    folder: parts.diskFolder,
  });
  return { imageManager, disks };
}
