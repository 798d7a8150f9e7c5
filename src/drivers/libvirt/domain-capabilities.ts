import type { XmlElement } from './domain-xml/xml-parser.ts';
import { attributeOf, childrenOf, textOf } from './domain-xml/xml-query.ts';

/** Whether an element of libvirt's domain capabilities has a value; so it does where it has no such list. */
export function lists(of: XmlElement | undefined, list: string, value: string): boolean {
  if (attributeOf(of, 'supported') === 'no') return false;
  const named = childrenOf(of, 'enum').find((one) => attributeOf(one, 'name') === list);
  return named === undefined || childrenOf(named, 'value').some((one) => textOf(one) === value);
}
