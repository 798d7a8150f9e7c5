import { findListItem } from '../../../core/live-spec.ts';
import { scsiControllerNode } from '../domain-xml/parts/volume-nodes.ts';
import { diskElements, findDrive } from '../domain-xml/parts/volumes-part.ts';
import { renderXml } from '../domain-xml/xml-node.ts';
import type { XmlElement } from '../domain-xml/xml-parser.ts';
import { attributeOf, childrenOf, findElement } from '../domain-xml/xml-query.ts';
import { attachOf, detachOf, type LiveCall, type LivePlanner, type LiveXml } from './live-step.ts';

/** Disks that come and go. */
export const planVolume: LivePlanner = (change, { live, next, wanted }) => {
  const item = findListItem(wanted, change);
  if (item?.list !== 'volumes' || item.key !== undefined) return undefined;
  const present = findDrive(live.root, item.name);
  const disk = change.after === undefined ? undefined : findDrive(next.root, item.name);
  if (present !== undefined) {
    // What had the name before goes first.
    return disk !== undefined && placeOf(present) === placeOf(disk)
      ? []
      : [detachOf(live, present)];
  }
  if (disk === undefined) return [];
  // By a disk that its guest has not let go of yet.
  if (isTaken(live, disk)) return [{ operation: 'wait' }];
  return [...missingController(live, disk), attachOf(next, disk)];
};

function isTaken(live: LiveXml, disk: XmlElement): boolean {
  return diskElements(live.root).some((one) => targetOf(one) === targetOf(disk));
}

function targetOf(disk: XmlElement): string | undefined {
  return attributeOf(findElement(disk, 'target'), 'dev');
}

function placeOf(disk: XmlElement): string {
  const source = findElement(disk, 'source');
  const path = attributeOf(source, 'file') ?? attributeOf(source, 'dev');
  const target = findElement(disk, 'target');
  return [attributeOf(target, 'bus'), attributeOf(target, 'dev'), path].join(' ');
}

/** libvirt would make one of a kind that few guests have a driver for. */
function missingController(live: LiveXml, disk: XmlElement): readonly LiveCall[] {
  if (attributeOf(findElement(disk, 'target'), 'bus') !== 'scsi') return [];
  const controllers = childrenOf(findElement(live.root, 'devices'), 'controller');
  const hasOne = controllers.some(
    (one) => attributeOf(one, 'type') === 'scsi' && attributeOf(one, 'index') === '0',
  );
  if (hasOne) return [];
  return [{ operation: 'attachDevice', values: [renderXml(scsiControllerNode()), undefined] }];
}
