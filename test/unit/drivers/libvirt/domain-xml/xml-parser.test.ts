import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { XMLParser } from 'fast-xml-parser';
import { hasReason } from '../../../../../src/core/errors.ts';
import {
  parseXml,
  type XmlElement,
} from '../../../../../src/drivers/libvirt/domain-xml/xml-parser.ts';

const unreadable = { reason: 'HYPERVISOR_FAILURE' };

const BOMB = `<!DOCTYPE a [<!ENTITY b "ha"><!ENTITY c "&b;&b;&b;&b;">]><a>&c;</a>`;
const refused: Record<string, string> = {
  'an entity bomb': BOMB,
  'an external entity': '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
  'a DOCTYPE inside': '<a><!DOCTYPE b></a>',
  'an ampersand alone': '<a b="x & y"/>',
  'a reference beyond Unicode': '<a>&#x110000;</a>',
  'a reference to a surrogate': '<a>&#xd800;</a>',
  'a reference to NUL': '<a>&#0;</a>',
  'a NUL': '<a>\0</a>',
  'an element that does not end': '<a><b></a>',
  'an unfinished tag': '<a b="',
  'an unfinished comment': '<a><!-- </a>',
  'an end tag too many': '<a/></a>',
  'two roots': '<a/><b/>',
  'no root': ' <!-- nothing --> ',
  'text outside the root': '<a/>x',
  'an attribute twice': '<a b="1" b="2"/>',
  'an attribute without quotes': '<a b=1/>',
  'attributes without space between': '<a b="1"c="2"/>',
  'a tag inside an attribute': '<a b="<c/>"/>',
  'elements too deep': `${'<a>'.repeat(300)}${'</a>'.repeat(300)}`,
  'too many elements': `<a>${'<b/>'.repeat(250_000)}</a>`,
  'too many attributes': `<a ${Array.from({ length: 300 }, (_, i) => `a${i}=''`).join(' ')}/>`,
  'too much text': `<a>${'x'.repeat(4 * 1024 * 1024)}</a>`,
};

for (const [name, xml] of Object.entries(refused)) {
  void test(`${name} is refused at once`, () => {
    // Not by the clock, which counts what else the machine does.
    const before = process.cpuUsage();
    assert.throws(() => parseXml(xml), unreadable);
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 2_000_000, `${user + system} µs`);
  });
}

void test('a reference to an entity that was declared elsewhere stays as it is written', () => {
  const root = parseXml('<a b="x &who; &amp;">&who.1; &lt;</a>');
  assert.equal(root.attributes[0]?.value, 'x &who; &');
  const [text] = root.children;
  assert.equal(text?.kind === 'text' && text.value, '&who.1; <');
});

void test('any text is read or refused, and nothing else', () => {
  const tokens = fc.constantFrom(
    '<',
    '>',
    '/',
    'a',
    'b',
    '=',
    '"',
    "'",
    ' ',
    '&',
    '&lt;',
    '&#65;',
    '<!--',
    '-->',
    '<![CDATA[',
    ']]>',
    '<?',
    '?>',
    '<a>',
    '</a>',
    '<b/>',
  );
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(tokens).map((all) => all.join('')),
  );
  fc.assert(
    fc.property(text, (xml) => {
      try {
        assert.equal(parseXml(xml).kind, 'element');
      } catch (error) {
        assert.ok(hasReason(error, 'HYPERVISOR_FAILURE'), String(error));
      }
    }),
    { numRuns: 3000 },
  );
});

/** A tree in the shape of fast-xml-parser's, without comments and with neighbouring texts joined. */
function plain(element: XmlElement): unknown {
  const children: unknown[] = [];
  let text = '';
  const flush = () => {
    if (text.trim() !== '') children.push(text);
    text = '';
  };
  for (const child of element.children) {
    if (child.kind === 'text') text += child.value;
    if (child.kind === 'element') {
      flush();
      children.push(plain(child));
    }
  }
  flush();
  const attributes = Object.fromEntries(element.attributes.map(({ name, value }) => [name, value]));
  return { name: element.name, attributes, children };
}

type Foreign = Record<string, unknown>;

function plainForeign(node: Foreign): unknown {
  const name = Object.keys(node).find((key) => key !== ':@') ?? '';
  const children: unknown[] = [];
  let text = '';
  const flush = () => {
    if (text.trim() !== '') children.push(text);
    text = '';
  };
  for (const child of node[name] as Foreign[]) {
    if ('#text' in child) text += String(child['#text']);
    else {
      flush();
      children.push(plainForeign(child));
    }
  }
  flush();
  return { name, attributes: { ...(node[':@'] as object | undefined) }, children };
}

void test('another parser reads the same from what libvirt prints', () => {
  const parser = new XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    attributeNamePrefix: '',
    parseTagValue: false,
    parseAttributeValue: false,
    trimValues: false,
  });
  const folder = new URL('../../../../fixtures/domain-xml/libvirt/', import.meta.url);
  for (const name of readdirSync(folder)) {
    const xml = readFileSync(new URL(name, folder), 'utf8');
    const roots = parser.parse(xml) as Foreign[];
    const root = roots.find((node) => 'domain' in node);
    assert.ok(root);
    assert.deepEqual(plain(parseXml(xml)), plainForeign(root), name);
  }
});
