import { AgentError } from '../../../core/errors.ts';

/*
 * A lossless reader for the XML that libvirt prints: every node knows where it stands in the source, so that an
 * editor can change one value and leave all other bytes alone. A general parser that builds and prints a tree
 * would rewrite quotes, references and the space inside tags.
 */

export interface XmlElement {
  readonly kind: 'element';
  /** With its prefix, as written. */
  readonly name: string;
  readonly attributes: readonly XmlAttribute[];
  readonly children: readonly XmlChild[];
  readonly parent: XmlElement | undefined;
  readonly start: number;
  readonly end: number;
  /** Just after the start tag. */
  readonly contentStart: number;
  /** Just before the end tag; equals `contentStart` in an empty-element tag. */
  readonly contentEnd: number;
  readonly selfClosing: boolean;
}

interface XmlText {
  readonly kind: 'text';
  readonly value: string;
  readonly start: number;
  readonly end: number;
}

/** A comment or processing instruction: kept, never looked at. */
interface XmlOther {
  readonly kind: 'other';
  readonly start: number;
  readonly end: number;
}

type XmlChild = XmlElement | XmlText | XmlOther;

interface XmlAttribute {
  readonly name: string;
  readonly value: string;
  /** From the first character of the name to just after the closing quote. */
  readonly start: number;
  readonly end: number;
  readonly valueStart: number;
  readonly valueEnd: number;
}

/** libvirt's own limit for a string over its wire protocol. */
const MAX_LENGTH = 4 * 1024 * 1024;
/** libxml2's limit. */
const MAX_DEPTH = 256;
const MAX_NODES = 200_000;
const MAX_ATTRIBUTES = 256;

const NAME = /[A-Za-z_:\u00c0-\uffff][\w:.\-\u00b7-\uffff]*/y;
const SPACE = /[ \t\r\n]*/y;
// oxlint-disable-next-line no-control-regex
const ILLEGAL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;
const REFERENCE =
  /&(?:(lt|gt|amp|quot|apos)|#(\d{1,7})|#x([0-9A-Fa-f]{1,6}));|&[A-Za-z_][\w.-]*;|&/g;
const NAMED: Readonly<Record<string, string>> = {
  lt: '<',
  gt: '>',
  amp: '&',
  quot: '"',
  apos: "'",
};

type Open = { -readonly [K in keyof XmlElement]: XmlElement[K] } & { children: XmlChild[] };

/**
 * Reads one document and returns its root. Refuses DOCTYPE and anything beyond its limits. A reference to an entity that XML
 * does not have stays as it is written: libvirt keeps those of somebody's metadata, and not the DOCTYPE that declared them.
 */
export function parseXml(source: string): XmlElement {
  return new Parser(source).parse();
}

class Parser {
  readonly #source: string;
  #position = 0;
  #nodes = 0;

  constructor(source: string) {
    this.#source = source;
  }

  parse(): XmlElement {
    if (this.#source.length > MAX_LENGTH) this.#fail(`it is longer than ${MAX_LENGTH} characters`);
    if (ILLEGAL.test(this.#source)) this.#fail('it contains characters that XML does not allow');
    let root: Open | undefined;
    let current: Open | undefined;
    let depth = 0;
    while (this.#position < this.#source.length) {
      if (++this.#nodes > MAX_NODES) this.#fail('it has too many nodes');
      if (this.#looksAt('</')) {
        if (current === undefined) this.#fail('an end tag has no start tag');
        this.#endTag(current);
        current = current.parent as Open | undefined;
        depth--;
      } else if (this.#looksAt('<!--')) {
        this.#add(current, this.#other('<!--', '-->'));
      } else if (this.#looksAt('<?')) {
        this.#add(current, this.#other('<?', '?>'));
      } else if (this.#looksAt('<![CDATA[')) {
        this.#add(current, this.#cdata());
      } else if (this.#looksAt('<!')) {
        this.#fail('it has a DOCTYPE, which is refused');
      } else if (this.#looksAt('<')) {
        const child = this.#startTag(current);
        if (current === undefined) {
          if (root !== undefined) this.#fail('it has more than one root element');
          root = child;
        }
        this.#add(current, child);
        if (!child.selfClosing) {
          current = child;
          if (++depth > MAX_DEPTH) this.#fail(`its elements are more than ${MAX_DEPTH} deep`);
        }
      } else {
        this.#add(current, this.#text());
      }
    }
    if (current !== undefined) this.#fail(`the element ${current.name} does not end`);
    if (root === undefined) this.#fail('it has no root element');
    return root;
  }

  #looksAt(token: string): boolean {
    return this.#source.startsWith(token, this.#position);
  }

  #add(parent: Open | undefined, child: XmlChild): void {
    if (parent !== undefined) parent.children.push(child);
    else if (child.kind === 'text' && child.value.trim() !== '')
      this.#fail('text outside the root');
  }

  #startTag(parent: Open | undefined): Open {
    const start = this.#position++;
    const name = this.#match(NAME) || this.#fail('an element has no name');
    const attributes: XmlAttribute[] = [];
    const names = new Set<string>();
    for (;;) {
      const space = this.#match(SPACE);
      const selfClosing = this.#looksAt('/>');
      if (selfClosing || this.#looksAt('>')) {
        this.#position += selfClosing ? 2 : 1;
        const end = this.#position;
        const place = { start, end, contentStart: end, contentEnd: end, selfClosing };
        return { kind: 'element', name, attributes, children: [], parent, ...place };
      }
      if (space === '') this.#fail(`the tag ${name} is malformed`);
      const attribute = this.#attribute();
      if (names.has(attribute.name)) this.#fail(`the attribute ${attribute.name} comes twice`);
      names.add(attribute.name);
      attributes.push(attribute);
      if (attributes.length > MAX_ATTRIBUTES) this.#fail(`the tag ${name} has too many attributes`);
    }
  }

  #attribute(): XmlAttribute {
    const start = this.#position;
    const name = this.#match(NAME) || this.#fail('an attribute has no name');
    this.#match(SPACE);
    if (!this.#looksAt('=')) this.#fail(`the attribute ${name} has no value`);
    this.#position++;
    this.#match(SPACE);
    const quote = this.#source[this.#position];
    if (quote !== '"' && quote !== "'") this.#fail(`the attribute ${name} has no quotes`);
    const valueStart = this.#position + 1;
    const valueEnd = this.#find(quote, valueStart);
    this.#position = valueEnd + 1;
    const raw = this.#source.slice(valueStart, valueEnd);
    if (raw.includes('<')) this.#fail(`the attribute ${name} contains <`);
    const value = this.#decode(raw.replaceAll(/\r\n|[\t\r\n]/g, ' '));
    return { name, value, start, end: this.#position, valueStart, valueEnd };
  }

  #endTag(open: Open): void {
    open.contentEnd = this.#position;
    this.#position += 2;
    if (this.#match(NAME) !== open.name)
      this.#fail(`the element ${open.name} ends with another name`);
    this.#match(SPACE);
    if (!this.#looksAt('>')) this.#fail(`the end tag of ${open.name} is malformed`);
    open.end = ++this.#position;
  }

  #other(opening: string, closing: string): XmlOther {
    const start = this.#position;
    this.#position = this.#find(closing, start + opening.length) + closing.length;
    return { kind: 'other', start, end: this.#position };
  }

  #cdata(): XmlText {
    const start = this.#position;
    const from = start + '<![CDATA['.length;
    const to = this.#find(']]>', from);
    this.#position = to + 3;
    return { kind: 'text', value: this.#source.slice(from, to), start, end: this.#position };
  }

  #text(): XmlText {
    const start = this.#position;
    const next = this.#source.indexOf('<', start);
    this.#position = next < 0 ? this.#source.length : next;
    const value = this.#decode(
      this.#source.slice(start, this.#position).replaceAll(/\r\n?/g, '\n'),
    );
    return { kind: 'text', value, start, end: this.#position };
  }

  #decode(raw: string): string {
    if (!raw.includes('&')) return raw;
    return raw.replaceAll(REFERENCE, (all, name?: string, decimal?: string, hex?: string) => {
      if (name !== undefined) return NAMED[name] ?? '';
      if (decimal === undefined && hex === undefined && all !== '&') return all;
      const code = Number.parseInt(decimal ?? hex ?? '', decimal === undefined ? 16 : 10);
      if (Number.isNaN(code) || code > 0x10ffff) this.#fail('a reference is malformed');
      const character = String.fromCodePoint(code);
      if (ILLEGAL.test(character) || !character.isWellFormed())
        this.#fail('it has an illegal character');
      return character;
    });
  }

  #match(pattern: RegExp): string {
    pattern.lastIndex = this.#position;
    const found = pattern.exec(this.#source)?.[0] ?? '';
    this.#position += found.length;
    return found;
  }

  #find(token: string, from: number): number {
    const found = this.#source.indexOf(token, from);
    return found < 0 ? this.#fail(`${token} is missing`) : found;
  }

  #fail(problem: string): never {
    throw new AgentError(
      'HYPERVISOR_FAILURE',
      `Cannot read the domain's XML: ${problem} (at character ${this.#position})`,
    );
  }
}
