import type { HypervisorDisk, HypervisorImage } from '../../../hypervisor-domains.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement } from '../xml-query.ts';
import { readVolumes, volumeElements } from './volumes-part.ts';

/**
 * The disks of a domain that runs, with all of their images: libvirt tells of those behind the first what it has found
 * when it opened them, and of one that is off only what somebody has written down.
 */
export function readDisks(domain: XmlElement): readonly HypervisorDisk[] {
  const elements = volumeElements(domain);
  return readVolumes(domain).map((volume, index) => ({
    name: volume.isOurs ? volume.name : volume.target,
    target: volume.target,
    readOnly: volume.readOnly,
    cache: volume.cache,
    images: imagesOf(elements[index], volume.format),
  }));
}

function imagesOf(disk: XmlElement | undefined, format: string): readonly HypervisorImage[] {
  const images: HypervisorImage[] = [];
  let imageFormat = format;
  for (let at = disk; at !== undefined; at = findElement(at, 'backingStore')) {
    if (at !== disk) imageFormat = attributeOf(findElement(at, 'format'), 'type') ?? 'raw';
    const source = findElement(at, 'source');
    // A drive without a medium; at the end of a chain an empty element.
    if (source === undefined) return images;
    const type = attributeOf(at, 'type') ?? 'file';
    if (isNothing(type, source)) return images;
    images.push(imageOf(type, source, imageFormat));
  }
  // Without the end of the chain there may be more of it, but not behind a raw image.
  const last = images.at(-1);
  if (last === undefined || last.format === 'raw') return images;
  return [...images, { kind: 'other', path: `what is behind ${last.path}`, format: '' }];
}

/** Of a drive that was emptied while the VM ran, libvirt keeps the number of its source. */
function isNothing(type: string, source: XmlElement): boolean {
  if (type === 'file') return (attributeOf(source, 'file') ?? '') === '';
  return type === 'block' && (attributeOf(source, 'dev') ?? '') === '';
}

function imageOf(type: string, source: XmlElement, format: string): HypervisorImage {
  const [file, device] = [attributeOf(source, 'file'), attributeOf(source, 'dev')];
  if (type === 'file' && file !== undefined) return { kind: 'file', path: file, format };
  if (type === 'block' && device !== undefined) return { kind: 'block', path: device, format };
  return { kind: 'other', path: describeSource(type, source), format };
}

/** Such as `network rbd pool/image`. */
function describeSource(type: string, source: XmlElement): string {
  const words = ['protocol', 'pool', 'volume', 'name', 'path', 'dir'].map((name) =>
    attributeOf(source, name),
  );
  return [type, ...words].filter((word) => word !== undefined).join(' ');
}

/** The jobs that copy a disk while it is in use, as far as the XML tells: guest devices. */
export function readMirrors(domain: XmlElement): readonly string[] {
  return childrenOf(findElement(domain, 'devices'), 'disk')
    .filter((disk) => findElement(disk, 'mirror') !== undefined)
    .map((disk) => attributeOf(findElement(disk, 'target'), 'dev') ?? '');
}

/** What of a domain is bound to this host, for people. */
export function readBoundDevices(domain: XmlElement): readonly string[] {
  const devices = findElement(domain, 'devices');
  const hostdevs = childrenOf(devices, 'hostdev').filter((device) => {
    // The guest has been told how to do without it.
    return attributeOf(findElement(device, 'teaming'), 'type') !== 'transient';
  });
  const nvmes = readVolumes(domain).filter(({ bus }) => bus === 'nvme');
  return [
    // QEMU cannot send the state of its controller.
    ...nvmes.map(({ target }) => `NVMe disk (${target})`),
    ...hostdevs.map((device) => `host device (${attributeOf(device, 'type') ?? 'unknown'})`),
    ...childrenOf(devices, 'filesystem').map((filesystem) =>
      `shared folder ${attributeOf(findElement(filesystem, 'target'), 'dir') ?? ''}`.trim(),
    ),
    ...childrenOf(devices, 'shmem').map((memory) =>
      `shared memory ${attributeOf(memory, 'name') ?? ''}`.trim(),
    ),
  ];
}
