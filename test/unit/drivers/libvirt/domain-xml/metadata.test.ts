import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { withoutUserData } from '../../../../../src/core/user-data.ts';
import { buildDomainXml } from '../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import { METADATA_NAMESPACE } from '../../../../../src/drivers/libvirt/domain-xml/metadata-namespace.ts';
import {
  parseXml,
  type XmlElement,
} from '../../../../../src/drivers/libvirt/domain-xml/xml-parser.ts';
import { textOf } from '../../../../../src/drivers/libvirt/domain-xml/xml-query.ts';
import {
  anyDefinition,
  definition,
  machine,
  specOf,
  tcgOptions,
} from '../../../../fixtures/domain-xml/definitions.ts';

const LIBVIRT = new URL('../../../../fixtures/domain-xml/libvirt/', import.meta.url);
const NEWER = new URL('../../../../fixtures/domain-xml/newer/', import.meta.url);
const read = (folder: URL, name: string) => readFileSync(new URL(name, folder), 'utf8');
const facts = {
  ownershipEpoch: 7,
  owner: '5a1e0a3c-33a1-4e2c-8f6c-7d4a3b2c1d0e',
  intent: 'off',
} as const;

/** A domain without our element, and without the one around it should it be empty then. */
function withoutOurs(xml: string): string {
  const rest = xml.replace(/\s*<novacron:vm [\s\S]*<\/novacron:vm>/, '');
  return rest.replace(/\s*<metadata>\s*<\/metadata>/, '');
}

function domainWith(metadata: string): DomainDocument {
  const xml = buildDomainXml(definition(), tcgOptions);
  return DomainDocument.parse(
    xml.replace(/<novacron:vm [\s\S]*<\/novacron:vm>/, () => metadata.trim()),
  );
}

for (const name of readdirSync(LIBVIRT)) {
  void test(`a definition put into ${name} changes nothing else`, () => {
    const source = read(LIBVIRT, name);
    const before = DomainDocument.parse(source);
    const wanted = definition({ uid: before.uuid });
    const after = before.withDefinition(wanted);
    assert.deepEqual(after.definition, wanted);
    assert.equal(withoutOurs(after.toString()), withoutOurs(source));
    assert.equal(after.withDefinition(wanted).toString(), after.toString());
  });
}

void test('any definition can take the place of any other', () => {
  fc.assert(
    fc.property(anyDefinition, anyDefinition, (one, other) => {
      const next = { ...other, uid: one.uid };
      const after = DomainDocument.parse(buildDomainXml(one, tcgOptions)).withDefinition(next);
      assert.deepEqual(after.definition, next);
    }),
  );
});

void test('the metadata is ASCII whatever is in the definition', () => {
  fc.assert(
    fc.property(anyDefinition, (from) => {
      const { definitionText } = DomainDocument.parse(buildDomainXml(from, tcgOptions));
      assert.match(definitionText ?? '', /^[ -~]+$/);
    }),
  );
});

void test('facts change by themselves, and back', () => {
  const { ownershipEpoch, owner, intent } = definition();
  const before = DomainDocument.parse(buildDomainXml(definition(), tcgOptions));
  const after = before.withFacts(facts);
  assert.deepEqual(after.definition, { ...definition(), ...facts });
  assert.equal(after.definitionText, before.definitionText);
  assert.equal(after.withFacts({ ownershipEpoch, owner, intent }).toString(), before.toString());
  assert.deepEqual(before.withFacts({ intent: 'off' }).definition, definition({ intent: 'off' }));
});

void test('user data never stands in a domain, only its digest does', () => {
  const userData = '#cloud-config\npassword: hunter2';
  const digest = createHash('sha256').update(userData).digest('hex');
  const spec = specOf(machine({ userData }));
  assert.throws(() => buildDomainXml(definition({ spec }), tcgOptions), /digest/);
  const document = DomainDocument.parse(buildDomainXml(definition(), tcgOptions));
  assert.throws(() => document.withDefinition(definition({ spec })), /digest/);
  const kept = definition({
    spec: withoutUserData(spec),
    privateFiles: { 'user-data': digest },
  });
  const xml = buildDomainXml(kept, tcgOptions);
  assert.doesNotMatch(xml, /cloud-config|hunter2/);
  assert.match(xml, new RegExp(`privateFiles='user-data=${digest}'`));
  assert.match(xml, new RegExp(`"userData":"sha256:${digest}"`));
  assert.deepEqual(DomainDocument.parse(xml).definition, kept);
});

void test('private files that are gone are no longer named', () => {
  const before = definition({ privateFiles: { 'user-data': 'cd'.repeat(32) } });
  const document = DomainDocument.parse(buildDomainXml(before, tcgOptions));
  const after = document.withDefinition(definition());
  assert.equal(after.toString(), buildDomainXml(definition(), tcgOptions));
});

const foreign: Record<string, (xml: string) => string> = {
  'of another namespace': (xml) => xml.replace('novacron.io/xmlns', 'example.org/xmlns'),
  'of another domain, as a copy has it': (xml) => xml.replace(/<uuid>6/, '<uuid>7'),
  'that comes twice': (xml) => xml.replace(/<novacron:vm [\s\S]*<\/novacron:vm>/, '$&$&'),
  'without a uid': (xml) => xml.replace(/ uid='[^']*'/, ''),
};

for (const [name, spoil] of Object.entries(foreign)) {
  void test(`metadata ${name} makes no VM of ours, and can be replaced`, () => {
    const source = buildDomainXml(definition(), tcgOptions);
    const spoiled = spoil(source);
    assert.notEqual(spoiled, source);
    const document = DomainDocument.parse(spoiled);
    assert.equal(document.definition, undefined);
    assert.equal(document.withFacts(facts).toString(), spoiled);
    assert.equal(document.metadataWithFacts(facts), undefined);
    const wanted = definition({ uid: document.uuid });
    assert.deepEqual(document.withDefinition(wanted).definition, wanted);
  });
}

void test('the prefix of the metadata does not matter, its namespace does', () => {
  const xml = buildDomainXml(definition(), tcgOptions).replaceAll('novacron:', 'n1:');
  const document = DomainDocument.parse(xml.replace('xmlns:novacron', 'xmlns:n1'));
  assert.deepEqual(document.definition, definition());
  assert.deepEqual(document.withFacts(facts).definition, definition(facts));
});

void test('facts that cannot be read start nothing', () => {
  const document = domainWith(
    `<novacron:vm xmlns:novacron='${METADATA_NAMESPACE}' version='1' namespace='default' name='web-1' uid='${definition().uid}' ownershipEpoch='-1e9' intent='asleep' privateFiles='x user-data=short'>{}</novacron:vm>`,
  );
  const { ownershipEpoch, intent, owner, privateFiles, spec } = document.definition ?? {};
  assert.deepEqual(
    { ownershipEpoch, intent, owner },
    { ownershipEpoch: 0, intent: 'off', owner: '' },
  );
  assert.deepEqual(privateFiles, {});
  assert.equal(spec?.runStrategy, 'Manual');
});

function withoutFacts(document: DomainDocument): string {
  return document.toString().replaceAll(/ (ownershipEpoch|owner|intent)=(['"])[^'"]*\2/g, '');
}

function attributes(from: XmlElement): Record<string, string> {
  return Object.fromEntries(from.attributes.map(({ name, value }) => [name, value]));
}

for (const name of readdirSync(NEWER)) {
  void test(`${name} of a newer agent stays ours, and its text as it is`, () => {
    const source = read(NEWER, name).trim();
    const before = domainWith(source);
    const text = textOf(parseXml(source));
    const found = before.definition;
    assert.ok(found);
    assert.deepEqual([found.namespace, found.name, found.uid], ['default', 'web-1', before.uuid]);
    assert.equal(found.newer?.manifest, text);

    const after = before.withFacts(facts);
    assert.equal(after.definition?.newer?.manifest, text);
    assert.deepEqual(after.definition, { ...found, ...facts });
    // Nothing but the values of three attributes differs, in all of the document.
    assert.equal(withoutFacts(after), withoutFacts(before));

    assert.throws(() => before.withDefinition(found), { reason: 'VM_SPEC_NEWER' });
  });

  void test(`${name} of a newer agent goes to libvirt as it is, without our namespace`, () => {
    const source = read(NEWER, name).trim();
    const argument = parseXml(domainWith(source).metadataWithFacts(facts) ?? '');
    const { 'xmlns:novacron': _namespace, ...wanted } = attributes(parseXml(source));
    assert.equal(argument.name, 'vm');
    assert.equal(textOf(argument), textOf(parseXml(source)));
    assert.deepEqual(attributes(argument), { ...wanted, ...facts, ownershipEpoch: '7' });
  });
}
