import type { DiskSpec } from '../../../core/vm-spec.ts';
import { diskDevice, diskNode, scsiControllerNode } from './disk-node.ts';
import { diskElements, ownDiskName, readDisk } from './read-domain-spec.ts';
import type { XmlEditor } from './xml-editor.ts';
import { element, type XmlNode } from './xml-node.ts';
import type { XmlElement } from './xml-parser.ts';
import { attributeOf, childrenOf, findElement } from './xml-query.ts';

/** Adds, changes and removes our own disks, known by their alias. Disks of another maker stay as they are. */
export function changeDisks(
  editor: XmlEditor,
  domain: XmlElement,
  disks: readonly DiskSpec[],
): void {
  const kept = new Map<string, XmlElement>();
  for (const disk of diskElements(domain)) {
    const name = ownDiskName(disk);
    if (name === undefined) continue;
    if (disks.some((wanted) => wanted.name === name)) kept.set(name, disk);
    else editor.remove(disk);
  }
  const devices = findElement(domain, 'devices');
  const add = (node: XmlNode) => {
    if (devices === undefined) throw new Error('A domain without devices');
    editor.append(devices, node);
  };
  for (const disk of disks) {
    const old = kept.get(disk.name);
    if (old === undefined) add(diskNode(disk));
    else changeDisk(editor, old, disk);
  }
  const controllers = childrenOf(devices, 'controller');
  const hasScsi = controllers.some((controller) => attributeOf(controller, 'type') === 'scsi');
  if (!hasScsi && disks.some((disk) => disk.bus === 'scsi')) add(scsiControllerNode());
}

function changeDisk(editor: XmlEditor, present: XmlElement, disk: DiskSpec): void {
  const old = readDisk(present);
  if (
    old.target !== disk.target ||
    old.bus !== disk.bus ||
    attributeOf(present, 'device') !== diskDevice(disk)
  ) {
    // Another place on another bus: its address and all that libvirt chose for it no longer fit.
    editor.replace(present, diskNode(disk));
    return;
  }
  const driver = findElement(present, 'driver');
  if (driver !== undefined) {
    if (old.format !== disk.format) editor.setAttribute(driver, 'type', disk.format);
    if (old.cache !== disk.cache) editor.setAttribute(driver, 'cache', disk.cache);
  }
  const source = findElement(present, 'source');
  if (old.path !== disk.path) {
    // Options of the old source, such as a backing chain or encryption, are about another image.
    for (const stale of childrenOf(present, 'backingStore')) editor.remove(stale);
    const fresh = element('source', { file: disk.path });
    editor.setAttribute(present, 'type', 'file');
    if (source === undefined) editor.append(present, fresh);
    else editor.replace(source, fresh);
  }
  if (old.readOnly !== disk.readOnly) {
    if (disk.readOnly) editor.append(present, element('readonly'));
    else for (const mark of childrenOf(present, 'readonly')) editor.remove(mark);
  }
  changeBootOrder(editor, present, old.bootOrder, disk.bootOrder);
}

function changeBootOrder(
  editor: XmlEditor,
  disk: XmlElement,
  old: number | undefined,
  wanted: number | undefined,
): void {
  if (old === wanted) return;
  const boot = findElement(disk, 'boot');
  if (wanted === undefined) {
    if (boot !== undefined) editor.remove(boot);
  } else if (boot === undefined) {
    editor.append(disk, element('boot', { order: String(wanted) }));
  } else {
    editor.setAttribute(boot, 'order', String(wanted));
  }
}
