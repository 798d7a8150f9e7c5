import type { VmDefinition, VmSpec } from '../../../core/vm-spec.ts';
import type { DomainXmlOptions } from './build-domain-xml.ts';
import { changeDomainSpec } from './change-domain-spec.ts';
import { METADATA_NAMESPACE, metadataNode, readMetadata } from './metadata.ts';
import { type DomainSpec, readDomainSpec } from './read-domain-spec.ts';
import { XmlEditor } from './xml-editor.ts';
import { element } from './xml-node.ts';
import { parseXml, type XmlElement } from './xml-parser.ts';
import { attributeOf, childrenInNamespace, childrenOf, findElement, textOf } from './xml-query.ts';

/** A domain's XML as libvirt gave it. Immutable; a change gives a new document with all else byte for byte. */
export class DomainDocument {
  readonly #source: string;
  readonly #root: XmlElement;

  private constructor(source: string, root: XmlElement) {
    this.#source = source;
    this.#root = root;
  }

  /** Fails with HYPERVISOR_FAILURE if it is no XML that libvirt would print. */
  static parse(xml: string): DomainDocument {
    return new DomainDocument(xml, parseXml(xml));
  }

  toString(): string {
    return this.#source;
  }

  get uuid(): string {
    return textOf(findElement(this.#root, 'uuid'))?.trim().toLowerCase() ?? '';
  }

  get name(): string {
    return textOf(findElement(this.#root, 'name')) ?? '';
  }

  get machineType(): string {
    return attributeOf(findElement(this.#root, 'os', 'type'), 'machine') ?? '';
  }

  get accelerator(): 'kvm' | 'tcg' {
    return attributeOf(this.#root, 'type') === 'kvm' ? 'kvm' : 'tcg';
  }

  get consoleLogPath(): string | undefined {
    const serial = childrenOf(findElement(this.#root, 'devices'), 'serial')[0];
    return attributeOf(findElement(serial, 'log'), 'file');
  }

  /**
   * What the domain was made from; undefined if it is not ours or its metadata cannot be read. A copy made with
   * other tools carries the metadata of its original under another uuid: that is not our VM either.
   */
  get definition(): VmDefinition | undefined {
    const [metadata, ...others] = this.#metadata();
    if (metadata === undefined || others.length > 0) return undefined;
    const definition = readMetadata(metadata);
    return definition?.uid === this.uuid ? definition : undefined;
  }

  withDefinition(definition: VmDefinition): DomainDocument {
    const editor = new XmlEditor(this.#source);
    const [old, ...others] = this.#metadata();
    for (const other of others) editor.remove(other);
    const node = metadataNode(definition);
    const parent = findElement(this.#root, 'metadata');
    const sibling = findElement(this.#root, 'uuid') ?? findElement(this.#root, 'name');
    if (old !== undefined) editor.replace(old, node);
    else if (parent !== undefined) editor.append(parent, node);
    else if (sibling !== undefined) editor.insertAfter(sibling, element('metadata', {}, node));
    else editor.append(this.#root, element('metadata', {}, node));
    return DomainDocument.parse(editor.toString());
  }

  readSpec(): DomainSpec {
    return readDomainSpec(this.#root);
  }

  /**
   * Makes the elements say what the spec wants; elements, attributes and comments that we do not know stay. A
   * machine type or CPU model that the spec leaves open stays too. Does not write the definition.
   */
  withSpec(spec: VmSpec, options: DomainXmlOptions): DomainDocument {
    return DomainDocument.parse(changeDomainSpec(this.#source, this.#root, spec, options));
  }

  #metadata(): readonly XmlElement[] {
    return childrenInNamespace(findElement(this.#root, 'metadata'), METADATA_NAMESPACE, 'vm');
  }
}
