import { parseMadeDisks } from '../../../core/made-disks.ts';
import { asciiJson } from '../../../core/resources/ascii-json.ts';
import type { VmDefinition } from '../../../core/vm-definition.ts';
import {
  type DefinitionFacts,
  readDefinitionText,
  toDefinitionText,
} from '../../../core/vm-definition-text.ts';
import type { VmFacts } from '../../hypervisor-domains.ts';
import { type Adoption, adoptionAttributes, readAdoption } from './adoption.ts';
import { METADATA_NAMESPACE, METADATA_PREFIX } from './metadata-namespace.ts';
import { XmlEditor } from './xml-editor.ts';
import { element, type XmlNode } from './xml-node.ts';
import { parseXml, type XmlElement } from './xml-parser.ts';
import { attributeOf, textOf } from './xml-query.ts';

/** Raised when an agent that does not know a change must not take the manifest for complete; new fields do not raise it. */
const VERSION = 1;
/** Of a domain that was adopted: who does not know of that would give it its disks a second time. */
const ADOPTED_VERSION = 2;

/** The element for `<metadata>` in a domain's XML: the manifest as its text, the agent's own facts as attributes. */
export function metadataNode(definition: VmDefinition, adoption?: Adoption): XmlNode {
  return element(
    `${METADATA_PREFIX}:vm`,
    {
      [`xmlns:${METADATA_PREFIX}`]: METADATA_NAMESPACE,
      ...attributes(definition, adoption),
      ...adoptionAttributes(adoption),
    },
    toDefinitionText(definition),
  );
}

/** Makes an element mean another definition; attributes that this agent does not know stay. */
export function changeMetadata(editor: XmlEditor, of: XmlElement, to: VmDefinition): void {
  const wanted = attributes(to, readAdoption(of));
  for (const name of OWN_ATTRIBUTES) {
    const value = wanted[name];
    if (value === undefined) editor.removeAttribute(of, name);
    else editor.setAttribute(of, name, value);
  }
  editor.setText(of, toDefinitionText(to));
}

/** Makes an element hold other facts; all else stays byte for byte, whichever agent has written it. */
export function changeFacts(editor: XmlEditor, of: XmlElement, facts: Partial<VmFacts>): void {
  for (const [name, value] of Object.entries(factAttributes(facts))) {
    editor.setAttribute(of, name, value);
  }
}

/** Only in the live definition: no later start has it, and a migration brings it along. */
const RUNNING_SINCE = 'runningSince';

/** When the run began that an element tells of, in milliseconds since 1970; undefined if it does not say. */
export function readRunningSince(from: XmlElement): number | undefined {
  return readCount(attributeOf(from, RUNNING_SINCE)) || undefined;
}

export function changeRunningSince(editor: XmlEditor, of: XmlElement, ms: number | undefined) {
  if (ms === undefined) editor.removeAttribute(of, RUNNING_SINCE);
  else editor.setAttribute(of, RUNNING_SINCE, String(ms));
}

/** Only in the live definition: what its guest was asked to let go of, whatever is wanted by now. */
const LET_GO = 'letGo';

export function readLetGo(from: XmlElement): readonly string[] {
  return attributeOf(from, LET_GO)?.split(' ') ?? [];
}

export function changeLetGo(editor: XmlEditor, of: XmlElement, names: readonly string[]) {
  if (names.length === 0) editor.removeAttribute(of, LET_GO);
  else editor.setAttribute(of, LET_GO, names.join(' '));
}

/** The CPUs that an agent of this host has held the domain to: whoever takes that back finds here that it was no one else. */
const SHARED_CPUS = 'sharedCpus';

export function readSharedCpus(from: XmlElement): string | undefined {
  return attributeOf(from, SHARED_CPUS);
}

export function changeSharedCpus(editor: XmlEditor, of: XmlElement, cpus: string | undefined) {
  if (cpus === undefined) editor.removeAttribute(of, SHARED_CPUS);
  else editor.setAttribute(of, SHARED_CPUS, cpus);
}

/**
 * An element with other facts for virDomainSetMetadata, which puts namespace and prefix on by itself from its `uri` and
 * `key` arguments (METADATA_NAMESPACE, METADATA_PREFIX) and fails when the element has them already.
 */
export function metadataArgument(xml: string, facts: Partial<VmFacts>): string {
  const editor = new XmlEditor(xml);
  const root = parseXml(xml);
  changeFacts(editor, root, facts);
  for (const { name, value } of root.attributes) {
    if (name.startsWith('xmlns') && value === METADATA_NAMESPACE)
      editor.removeAttribute(root, name);
  }
  return editor
    .toString()
    .replace(/^<[^\s/>]+/, '<vm')
    .replace(/<\/[^<>]+>$/, '</vm>');
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
    ownershipEpoch: readCount(attributeOf(from, 'ownershipEpoch')),
    owner: attributeOf(from, 'owner') ?? '',
    // Nothing is started for an intent that cannot be read.
    intent: attributeOf(from, 'intent') === 'on' ? 'on' : 'off',
    privateFiles: readDigests(attributeOf(from, 'privateFiles') ?? ''),
    madeDisks: parseMadeDisks(attributeOf(from, 'madeDisks') ?? ''),
    ...ejectedOf(readDigests(attributeOf(from, 'ejected') ?? '')),
    isNewerVersion: attributeOf(from, 'version') !== String(versionOf(readAdoption(from))),
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
  'madeDisks',
  'ejected',
];

type Attributes = Readonly<Record<string, string>>;

function versionOf(adoption: Adoption | undefined): number {
  return adoption === undefined ? VERSION : ADOPTED_VERSION;
}

function attributes(definition: VmDefinition, adoption: Adoption | undefined): Attributes {
  const { namespace, name, uid, privateFiles, madeDisks, newer } = definition;
  const files = digestsText(privateFiles);
  return {
    // Which one it was is not known; this one must not take it for complete.
    version: String(versionOf(adoption) + (newer === undefined ? 0 : 1)),
    namespace,
    name,
    uid,
    ...factAttributes(definition),
    ...(files === '' ? {} : { privateFiles: files }),
    ...(Object.keys(madeDisks).length === 0 ? {} : { madeDisks: asciiJson(madeDisks) }),
  };
}

function factAttributes({ ownershipEpoch, owner, intent, ejected }: Partial<VmFacts>): Attributes {
  return {
    ...(ownershipEpoch === undefined ? {} : { ownershipEpoch: String(ownershipEpoch) }),
    ...(owner === undefined ? {} : { owner }),
    ...(intent === undefined ? {} : { intent }),
    ...(ejected === undefined ? {} : { ejected: digestsText(ejected) }),
  };
}

function ejectedOf(ejected: Readonly<Record<string, string>>): Pick<VmDefinition, 'ejected'> {
  return Object.keys(ejected).length === 0 ? {} : { ejected };
}

function digestsText(digests: Readonly<Record<string, string>>): string {
  return Object.entries(digests)
    .map(([name, digest]) => `${name}=${digest}`)
    .join(' ');
}

function readDigests(text: string): Readonly<Record<string, string>> {
  return Object.fromEntries(
    text
      .split(' ')
      .map((part) => part.split('='))
      .filter(([name, digest]) => name !== undefined && /^[0-9a-f]{64}$/.test(digest ?? ''))
      .map(([name = '', digest = '']) => [name, digest]),
  );
}

function readCount(text = ''): number {
  return /^\d{1,15}$/.test(text) ? Number(text) : 0;
}
