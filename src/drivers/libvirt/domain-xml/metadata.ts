import type { VmDefinition } from '../../../core/vm-definition.ts';
import {
  type DefinitionFacts,
  readDefinitionText,
  toDefinitionText,
} from '../../../core/vm-definition-text.ts';
import type { VmFacts } from '../../hypervisor-domains.ts';
import { element, renderXml, type XmlNode } from './xml-node.ts';
import type { XmlElement } from './xml-parser.ts';
import { attributeOf, textOf } from './xml-query.ts';

export const METADATA_NAMESPACE = 'https://novacron.io/xmlns/vm/1';
export const METADATA_PREFIX = 'novacron';

/** Raised when an agent that does not know a change must not take the manifest for complete; new fields do not raise it. */
const VERSION = 1;

/** The element for `<metadata>` in a domain's XML: the manifest as its text, the agent's own facts as attributes. */
export function metadataNode(definition: VmDefinition, foreign: Attributes = {}): XmlNode {
  return element(
    `${METADATA_PREFIX}:vm`,
    { [`xmlns:${METADATA_PREFIX}`]: METADATA_NAMESPACE, ...attributes(definition), ...foreign },
    ascii(toDefinitionText(definition)),
  );
}

type Attributes = Readonly<Record<string, string>>;

/** The element with other facts; the text and what else stands there stay. */
export function metadataNodeWithFacts(from: XmlElement, facts: Partial<VmFacts>): XmlNode {
  return element(
    `${METADATA_PREFIX}:vm`,
    {
      [`xmlns:${METADATA_PREFIX}`]: METADATA_NAMESPACE,
      ...kept(from),
      ...factAttributes(facts),
    },
    textOf(from) ?? '',
  );
}

/**
 * The same for virDomainSetMetadata, which puts namespace and prefix on by itself from its `uri` and `key` arguments
 * (METADATA_NAMESPACE, METADATA_PREFIX) and fails when the element has them already.
 */
export function metadataArgument(from: XmlElement, facts: Partial<VmFacts>): string {
  return renderXml(element('vm', { ...kept(from), ...factAttributes(facts) }, textOf(from) ?? ''));
}

/** What an element made by `metadataNode` means; undefined if it names no VM. */
export function readMetadata(from: XmlElement): VmDefinition | undefined {
  const uid = attributeOf(from, 'uid');
  const name = attributeOf(from, 'name');
  const namespace = attributeOf(from, 'namespace');
  if (uid === undefined || name === undefined || namespace === undefined) return undefined;
  const facts: DefinitionFacts = {
    uid,
    name,
    namespace,
    ownershipEpoch: Number(attributeOf(from, 'ownershipEpoch')) || 0,
    owner: attributeOf(from, 'owner') ?? '',
    intent: attributeOf(from, 'intent') === 'off' ? 'off' : 'on',
    privateFiles: readPrivateFiles(attributeOf(from, 'privateFiles') ?? ''),
    isNewerVersion: attributeOf(from, 'version') !== String(VERSION),
  };
  return readDefinitionText(textOf(from) ?? '', facts);
}

const OWN_ATTRIBUTES = [
  'version',
  'namespace',
  'name',
  'uid',
  'ownershipEpoch',
  'owner',
  'intent',
  'privateFiles',
];

/** Attributes of an element that only a newer agent knows. */
export function foreignAttributes(from: XmlElement): Attributes {
  return Object.fromEntries(
    Object.entries(kept(from)).filter(([name]) => !OWN_ATTRIBUTES.includes(name)),
  );
}

/** Attributes of an element that is written anew: all but its namespaces, also those of a newer agent. */
function kept(from: XmlElement): Attributes {
  return Object.fromEntries(
    from.attributes
      .filter(({ name }) => !name.startsWith('xmlns'))
      .map(({ name, value }) => [name, value]),
  );
}

function attributes(definition: VmDefinition): Attributes {
  const { namespace, name, uid, privateFiles } = definition;
  const files = Object.entries(privateFiles).map(([file, digest]) => `${file}=${digest}`);
  return {
    version: String(VERSION),
    namespace,
    name,
    uid,
    ...factAttributes(definition),
    ...(files.length === 0 ? {} : { privateFiles: files.join(' ') }),
  };
}

function factAttributes({ ownershipEpoch, owner, intent }: Partial<VmFacts>): Attributes {
  return {
    ...(ownershipEpoch === undefined ? {} : { ownershipEpoch: String(ownershipEpoch) }),
    ...(owner === undefined ? {} : { owner }),
    ...(intent === undefined ? {} : { intent }),
  };
}

function readPrivateFiles(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text
      .split(' ')
      .map((part) => part.split('='))
      .filter(([name, digest]) => name !== undefined && /^[0-9a-f]{64}$/.test(digest ?? ''))
      .map(([name = '', digest = '']) => [name, digest]),
  );
}

/** JSON in ASCII: a label may hold any character, also those that XML cannot carry. */
function ascii(json: string): string {
  return json.replaceAll(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
