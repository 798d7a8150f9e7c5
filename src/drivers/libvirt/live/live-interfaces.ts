import { findListItem } from '../../../core/live-spec.ts';
import { connect, findInterface } from '../domain-xml/parts/interfaces-part.ts';
import { XmlEditor } from '../domain-xml/xml-editor.ts';
import { parseXml } from '../domain-xml/xml-parser.ts';
import { attachOf, detachOf, type LivePlanner } from './live-step.ts';

/** Interfaces that come and go, are connected to another bridge, or have their cable pulled. */
export const planInterface: LivePlanner = (change, { live, next, wanted }) => {
  const item = findListItem(wanted, change);
  if (item?.list !== 'networks') return undefined;
  const present = findInterface(live.root, item.name);
  const network = wanted.networks?.find(({ name }) => name === item.name);
  if (network === undefined) return present === undefined ? [] : [detachOf(live, present)];
  if (present === undefined) {
    const device = findInterface(next.root, item.name);
    // One that is only to be connected otherwise has gone by somebody else's doing.
    return device === undefined || item.key !== undefined ? [] : [attachOf(next, device)];
  }
  const editor = new XmlEditor(live.source);
  connect(editor, present, { ...network, link: network.link ?? 'up' });
  const changed = editor.toString();
  if (changed === live.source) return [];
  const device = findInterface(parseXml(changed), item.name);
  if (device === undefined) return [];
  return [{ operation: 'updateDevice', values: [changed.slice(device.start, device.end)] }];
};
