import type { XmlElement } from './xml-parser.ts';

/** Child elements with this name (written without a prefix, as all of libvirt's own are). */
export function childrenOf(parent: XmlElement | undefined, name?: string): readonly XmlElement[] {
  const elements = (parent?.children ?? []).filter((child) => child.kind === 'element');
  return name === undefined ? elements : elements.filter((child) => child.name === name);
}

/** The first element at a path such as `os`, `type`; undefined when a step is missing. */
export function findElement(
  start: XmlElement | undefined,
  ...path: readonly string[]
): XmlElement | undefined {
  let found = start;
  for (const name of path) found = childrenOf(found, name)[0];
  return found;
}

export function attributeOf(from: XmlElement | undefined, name: string): string | undefined {
  return from?.attributes.find((attribute) => attribute.name === name)?.value;
}

/** The element's own text, without that of its children; undefined without an element. */
export function textOf(from: XmlElement | undefined): string | undefined {
  return from?.children.map((child) => (child.kind === 'text' ? child.value : '')).join('');
}

/** Child elements with this local name in this namespace, whatever prefix they are written with. */
export function childrenInNamespace(
  parent: XmlElement | undefined,
  namespace: string,
  localName: string,
): readonly XmlElement[] {
  return childrenOf(parent).filter((child) => {
    const colon = child.name.indexOf(':');
    const prefix = colon < 0 ? '' : child.name.slice(0, colon);
    return child.name.slice(colon + 1) === localName && namespaceOf(child, prefix) === namespace;
  });
}

/** The prefix that means this namespace at this element; undefined if none does. */
export function prefixFor(at: XmlElement, namespace: string): string | undefined {
  for (const { name, value } of at.attributes) {
    if (name.startsWith('xmlns:') && value === namespace) return name.slice('xmlns:'.length);
  }
  return undefined;
}

function namespaceOf(from: XmlElement, prefix: string): string {
  const declaration = prefix === '' ? 'xmlns' : `xmlns:${prefix}`;
  for (let at: XmlElement | undefined = from; at !== undefined; at = at.parent) {
    const value = attributeOf(at, declaration);
    if (value !== undefined) return value;
  }
  return '';
}
