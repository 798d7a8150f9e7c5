import {
  IO_LIMITS,
  type IoLimit,
  type IoLimits,
  limitOf,
} from '../../../../core/resources/io-limits.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { childrenOf, findElement, textOf } from '../xml-query.ts';

const NAMES: Readonly<Record<IoLimit, string>> = {
  totalBytesPerSecond: 'total_bytes_sec',
  readBytesPerSecond: 'read_bytes_sec',
  writeBytesPerSecond: 'write_bytes_sec',
  totalIops: 'total_iops_sec',
  readIops: 'read_iops_sec',
  writeIops: 'write_iops_sec',
};

const KINDS = ['', '_max', '_max_length'];
/** All that are ours; others, such as the name of a group, are somebody else's. */
const OWN = new Set(Object.values(NAMES).flatMap((name) => KINDS.map((kind) => name + kind)));

export function ioLimitsNode(limits: IoLimits | undefined): XmlNode | undefined {
  return limits && element('iotune', {}, ...[...entriesOf(limits)].map(limitNode));
}

/** Those that the volume leaves out stay as they are, unless it has had some before. */
export function changeIoLimits(
  editor: XmlEditor,
  disk: XmlElement,
  wanted: IoLimits | undefined,
  hadSome: boolean,
): void {
  if (wanted === undefined && !hadSome) return;
  const present = findElement(disk, 'iotune');
  if (present === undefined) {
    const node = ioLimitsNode(wanted);
    if (node !== undefined) editor.append(disk, node);
    return;
  }
  const entries = wanted === undefined ? new Map<string, string>() : entriesOf(wanted);
  const children = childrenOf(present);
  if (entries.size === 0 && children.every(({ name }) => OWN.has(name))) {
    editor.remove(present);
    return;
  }
  for (const child of children) {
    const value = entries.get(child.name);
    if (!OWN.has(child.name)) continue;
    if (value === undefined) editor.remove(child);
    else if (textOf(child) !== value) editor.setText(child, value);
  }
  for (const entry of entries) {
    if (!children.some(({ name }) => name === entry[0])) editor.append(present, limitNode(entry));
  }
}

function limitNode([name, value]: readonly [string, string]): XmlNode {
  return element(name, {}, value);
}

function entriesOf({ burst, ...lasting }: IoLimits): ReadonlyMap<string, string> {
  const entries = new Map<string, string>();
  const add = (name: string, value: bigint | number | undefined) => {
    if (value !== undefined) entries.set(name, String(value));
  };
  for (const limit of IO_LIMITS) {
    const most = burst && limitOf(burst, limit);
    add(NAMES[limit], limitOf(lasting, limit));
    add(`${NAMES[limit]}_max`, most);
    if (most !== undefined) add(`${NAMES[limit]}_max_length`, burst?.seconds);
  }
  return entries;
}
