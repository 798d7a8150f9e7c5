import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type DefinitionFacts,
  readDefinitionText,
  toDefinitionText,
} from '../../../src/core/vm-definition-text.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';

const digest = 'a'.repeat(64);

const known = tinyVm(
  { labels: { app: 'web' }, privateFiles: { 'user-data': digest } },
  {
    volumes: Array.from({ length: 12 }, (_, index) => ({
      name: `disk-${index}`,
      kind: 'disk' as const,
      cache: 'none' as const,
      format: 'raw' as const,
      source: { file: { path: `/images/${index}.img` } },
    })),
    userData: `sha256:${digest}`,
  },
);

const facts: DefinitionFacts = {
  uid: known.uid,
  namespace: known.namespace,
  name: known.name,
  ownershipEpoch: known.ownershipEpoch,
  owner: known.owner,
  intent: known.intent,
  privateFiles: known.privateFiles,
  isNewerVersion: false,
};

type Tree = Record<string, any>;

/** The text of the known VM with something in it that only a newer agent writes. */
function changed(change: (spec: Tree, document: Tree) => void): string {
  const document = JSON.parse(toDefinitionText(known)) as Tree;
  change(document['spec'], document);
  return JSON.stringify(document);
}

const machineOf = (spec: Tree): Tree => spec['template'].spec;

test('a definition survives as text', () => {
  assert.deepEqual(readDefinitionText(toDefinitionText(known), facts), known);
});

test('user data never stands in the text', () => {
  const open = tinyVm({}, { userData: 'password: secret' });
  assert.throws(() => toDefinitionText(open), /must not stand/);
});

test('what a newer agent wrote is named, left out, and kept byte for byte', () => {
  const text = ` ${changed((spec) => {
    spec['nextYear'] = { a: 1 };
    machineOf(spec)['volumes'][3].throttle = '1Gbps';
  })}\n`;
  const definition = readDefinitionText(text, facts);
  assert.deepEqual(definition.newer?.unknownFields.toSorted(), [
    'spec.nextYear',
    'spec.template.spec.volumes[3].throttle',
  ]);
  assert.deepEqual(definition.spec, known.spec);
  assert.equal(toDefinitionText(definition), text);
});

test('a value that is not known is left out, and so is an item that lacks what it needs', () => {
  const text = changed((spec) => {
    const { volumes } = machineOf(spec);
    volumes[1].bus = 'quantum';
    delete volumes[2].name;
    volumes[2].source = { remote: {} };
    delete volumes[10].name;
  });
  const { spec, newer } = readDefinitionText(text, facts);
  const names = spec.template.spec.volumes?.map(({ name }) => name);
  const others = known.spec.template.spec.volumes?.map(({ name }) => name);
  assert.deepEqual(
    names,
    others?.filter((name) => name !== 'disk-2' && name !== 'disk-10'),
  );
  const unknown = newer?.unknownFields ?? [];
  assert.ok(unknown.includes('spec.template.spec.volumes[1].bus'));
  assert.ok(unknown.includes('spec.template.spec.volumes[10].name'));
});

test('a run strategy that is not known starts nothing by itself', () => {
  const text = changed((spec) => {
    spec['runStrategy'] = 'AtNight';
  });
  assert.equal(readDefinitionText(text, facts).spec.runStrategy, 'Manual');
});

test('a text of a newer version is not complete even if all of it is known', () => {
  const text = toDefinitionText(known);
  const { newer } = readDefinitionText(text, { ...facts, isNewerVersion: true });
  assert.deepEqual(newer, { manifest: text, unknownFields: [] });
});

test('of a text that cannot be read, the VM remains', () => {
  for (const text of ['', 'null', '[]', '"spec"', '{', '{"spec":5}']) {
    const definition = readDefinitionText(text, facts);
    assert.equal(definition.uid, known.uid);
    assert.equal(definition.spec.runStrategy, 'Manual');
    assert.equal(definition.newer?.manifest, text);
  }
});

test('no text makes reading fail, and every text stays as it is', () => {
  const anything = fc.oneof(
    fc.string(),
    fc.json(),
    fc
      .tuple(fc.constantFrom('spec', 'metadata', 'kind', 'apiVersion', 'other'), fc.jsonValue())
      .map(([key, value]) => changed((_spec, document) => (document[key] = value))),
    fc
      .tuple(
        fc.constantFrom('volumes', 'resources', 'cpu', 'kernel', 'image', 'other'),
        fc.jsonValue(),
      )
      .map(([key, value]) => changed((spec) => (machineOf(spec)[key] = value))),
  );
  fc.assert(
    fc.property(anything, (text) => {
      const definition = readDefinitionText(text, facts);
      assert.equal(definition.name, known.name);
      if (definition.newer !== undefined) assert.equal(toDefinitionText(definition), text);
    }),
  );
});
