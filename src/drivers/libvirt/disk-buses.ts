import { parseXml } from './domain-xml/xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from './domain-xml/xml-query.ts';

/** The buses of disks in libvirt's domain capabilities; undefined where they do not say. */
export function diskBusesOf(capabilities: string): readonly string[] | undefined {
  if (capabilities === '') return undefined;
  const disk = findElement(parseXml(capabilities), 'devices', 'disk');
  const buses = childrenOf(disk, 'enum').find((one) => attributeOf(one, 'name') === 'bus');
  return buses && childrenOf(buses, 'value').map((value) => textOf(value) ?? '');
}
