import { escapeAttribute, escapeText, renderXml, type XmlNode } from './xml-node.ts';
import type { XmlElement } from './xml-parser.ts';

interface Edit {
  readonly start: number;
  readonly end: number;
  readonly text: string;
}

/** Collects changes to a document; what no change touches stays as it is, byte for byte. */
export class XmlEditor {
  readonly #source: string;
  readonly #edits: Edit[] = [];
  readonly #appended = new Map<XmlElement, XmlNode[]>();

  constructor(source: string) {
    this.#source = source;
  }

  setAttribute(of: XmlElement, name: string, value: string): void {
    const old = of.attributes.find((attribute) => attribute.name === name);
    if (old === undefined) {
      const at = of.attributes.at(-1)?.end ?? of.start + 1 + of.name.length;
      this.#edit(at, at, ` ${name}='${escapeAttribute(value)}'`);
    } else if (old.value !== value) {
      this.#edit(old.valueStart, old.valueEnd, escapeAttribute(value));
    }
  }

  removeAttribute(of: XmlElement, name: string): void {
    const old = of.attributes.find((attribute) => attribute.name === name);
    if (old !== undefined) this.#edit(this.#skipSpaceBefore(old.start), old.end, '');
  }

  setText(of: XmlElement, text: string): void {
    if (of.selfClosing) this.#edit(of.end - 2, of.end, `>${escapeText(text)}</${of.name}>`);
    else this.#edit(of.contentStart, of.contentEnd, escapeText(text));
  }

  replace(old: XmlElement, by: XmlNode): void {
    this.#edit(old.start, old.end, renderXml(by, this.#indentOf(old)).trimStart());
  }

  /** Removes an element with the line that it leaves empty. */
  remove(old: XmlElement): void {
    const start = this.#skipSpaceBefore(old.start);
    const ownLine = this.#source.slice(start, old.start).includes('\n');
    this.#edit(ownLine ? start : old.start, old.end, '');
  }

  insertAfter(sibling: XmlElement, node: XmlNode): void {
    this.#edit(sibling.end, sibling.end, `\n${renderXml(node, this.#indentOf(sibling))}`);
  }

  /** Adds a last child. */
  append(parent: XmlElement, node: XmlNode): void {
    this.#appended.set(parent, [...(this.#appended.get(parent) ?? []), node]);
  }

  toString(): string {
    const edits = [...this.#edits, ...this.#appendEdits()].toSorted(
      (a, b) => a.start - b.start || a.end - b.end,
    );
    let result = '';
    let position = 0;
    for (const { start, end, text } of edits) {
      if (start < position) throw new Error('Two changes of one domain XML overlap');
      result += this.#source.slice(position, start) + text;
      position = end;
    }
    return result + this.#source.slice(position);
  }

  #appendEdits(): readonly Edit[] {
    return Array.from(this.#appended, ([parent, nodes]) => {
      const outer = this.#indentOf(parent);
      const text = nodes.map((node) => `\n${renderXml(node, `${outer}  `)}`).join('');
      if (parent.selfClosing) {
        return {
          start: parent.end - 2,
          end: parent.end,
          text: `>${text}\n${outer}</${parent.name}>`,
        };
      }
      const at = Math.max(this.#skipSpaceBefore(parent.contentEnd), parent.contentStart);
      const closing = this.#source.slice(at, parent.contentEnd).includes('\n') ? '' : `\n${outer}`;
      return { start: at, end: at, text: text + closing };
    });
  }

  #edit(start: number, end: number, text: string): void {
    this.#edits.push({ start, end, text });
  }

  #indentOf(of: XmlElement): string {
    const space = this.#source.slice(this.#skipSpaceBefore(of.start), of.start);
    const newline = space.lastIndexOf('\n');
    return newline < 0 ? '' : space.slice(newline + 1);
  }

  #skipSpaceBefore(position: number): number {
    let start = position;
    while (start > 0 && /\s/.test(this.#source[start - 1] ?? '')) start--;
    return start;
  }
}
