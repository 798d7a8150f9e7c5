import { AgentError } from '../../../core/errors.ts';

/** An element to be written. Strings among the children are text and are escaped when written. */
export interface XmlNode {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string | undefined>>;
  readonly children: readonly (XmlNode | string)[];
}

type Child = XmlNode | string | undefined;

/** Undefined attributes and children are left out. */
export function element(
  name: string,
  attributes: Readonly<Record<string, string | undefined>> = {},
  ...children: readonly Child[]
): XmlNode {
  return { name, attributes, children: children.filter((child) => child !== undefined) };
}

/** Writes a node in libvirt's own style: single quotes, two spaces for each level. No newline at the end. */
export function renderXml(node: XmlNode, indent = ''): string {
  const attributes = Object.entries(node.attributes)
    .filter((entry): entry is [string, string] => entry[1] !== undefined)
    .map(([name, value]) => ` ${name}='${escapeAttribute(value)}'`)
    .join('');
  const open = `${indent}<${node.name}${attributes}`;
  if (node.children.length === 0) return `${open}/>`;
  if (node.children.every((child) => typeof child === 'string')) {
    return `${open}>${node.children.map(escapeText).join('')}</${node.name}>`;
  }
  const lines = node.children.map((child) =>
    typeof child === 'string' ? `${indent}  ${escapeText(child)}` : renderXml(child, `${indent}  `),
  );
  return `${open}>\n${lines.join('\n')}\n${indent}</${node.name}>`;
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&apos;',
  '"': '&quot;',
};

// Tabs and line ends are legal XML, but an attribute would come back with spaces in their place, and a
// path or kernel command line with one in it is a mistake or an attack.
// oxlint-disable-next-line no-control-regex
const REFUSED = /[\u0000-\u001f\u007f-\u009f\ufffe\uffff]/;

/** Escapes an attribute's value for either kind of quote. Refuses what XML cannot carry exactly. */
export function escapeAttribute(value: string): string {
  return escapeText(value).replaceAll(/['"]/g, (character) => ENTITIES[character] ?? '');
}

/** Escapes an element's text. Refuses what XML cannot carry exactly. */
export function escapeText(value: string): string {
  if (REFUSED.test(value) || !value.isWellFormed()) {
    throw new AgentError(
      'INVALID_SPEC',
      `Cannot write ${JSON.stringify(value.slice(0, 80))} into the domain: it contains control or invalid characters; remove them`,
    );
  }
  return value.replaceAll(/[&<>]/g, (character) => ENTITIES[character] ?? '');
}
