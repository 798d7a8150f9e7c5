import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import {
  type DefinitionFacts,
  readDefinitionText,
  toDefinitionText,
} from '../../../src/core/vm-definition-text.ts';
import { anyDefinition, definition, volume } from '../../fixtures/domain-xml/definitions.ts';

function factsOf(from: VmDefinition): DefinitionFacts {
  const { uid, namespace, name, ownershipEpoch, owner, intent, privateFiles, madeDisks } = from;
  return {
    uid,
    namespace,
    name,
    ownershipEpoch,
    owner,
    intent,
    privateFiles,
    madeDisks,
    isNewerVersion: false,
  };
}

// oxlint-disable-next-line typescript/no-explicit-any
type Manifest = any;

/** The definition of a manifest that somebody has changed. */
function readChanged(change: (manifest: Manifest) => void, from = definition()): VmDefinition {
  const manifest: Manifest = JSON.parse(toDefinitionText(from));
  change(manifest);
  return readDefinitionText(JSON.stringify(manifest), factsOf(from));
}

const machineOf = ({ spec }: VmDefinition) => spec.template.spec;
const unknownOf = ({ newer }: VmDefinition) => newer?.unknownFields.toSorted();

void test('any definition is read back from its text', () => {
  fc.assert(
    fc.property(anyDefinition, (from) => {
      assert.deepEqual(readDefinitionText(toDefinitionText(from), factsOf(from)), from);
    }),
  );
});

void test('the text is a manifest', () => {
  const { apiVersion, kind, metadata, spec } = JSON.parse(toDefinitionText(definition()));
  assert.equal(apiVersion, 'novacron.io/v1alpha1');
  assert.equal(kind, 'VirtualMachine');
  assert.deepEqual(metadata, {
    name: 'web-1',
    namespace: 'default',
    uid: definition().uid,
    labels: { app: 'web' },
    annotations: { 'example.com/note': 'front' },
    generation: 3,
    creationTimestamp: '2025-10-09T08:53:20.000Z',
  });
  assert.deepEqual(spec, definition().spec);
});

void test('any key that is added anywhere is left out and named, and the rest stays', () => {
  const key = fc.stringMatching(/^x[A-Za-z0-9]{1,8}$/);
  fc.assert(
    fc.property(anyDefinition, key, fc.jsonValue(), fc.nat(), (from, name, value, choice) => {
      const manifest: Manifest = JSON.parse(toDefinitionText(from));
      const places = objectsOf(manifest, '');
      const { path, object } = places[choice % places.length] ?? places[0]!;
      object[name] = value;
      const text = JSON.stringify(manifest);
      const found = readDefinitionText(text, factsOf(from));
      const unknownFields = [path === '' ? name : `${path}.${name}`];
      assert.deepEqual(found, { ...from, newer: { manifest: text, unknownFields } });
    }),
  );
});

/** Every object of the schema, with its path; not labels and the like, where any key is known. */
function objectsOf(value: Manifest, path: string): { path: string; object: Manifest }[] {
  if (Array.isArray(value)) {
    return value.flatMap((item, index) => objectsOf(item, `${path}[${index}]`));
  }
  if (typeof value !== 'object' || value === null) return [];
  const below = Object.entries(value)
    .filter(([key]) => !['labels', 'annotations', 'nodeSelector', 'affinity'].includes(key))
    .flatMap(([key, part]) => objectsOf(part, path === '' ? key : `${path}.${key}`));
  return [{ path, object: value }, ...below];
}

void test('a value of an enumeration that is not known is left out', () => {
  const found = readChanged(({ spec }) => {
    spec.template.spec.firmware = { type: 'coreboot', secureBoot: false };
    spec.template.spec.volumes[0].bus = 'nvme-of';
  });
  assert.deepEqual(unknownOf(found), [
    'spec.template.spec.firmware.type',
    'spec.template.spec.volumes[0].bus',
  ]);
  assert.deepEqual(machineOf(found).firmware, { secureBoot: false });
});

void test('items of a list that are not known are left out, each named by its place', () => {
  const names = Array.from({ length: 12 }, (_, index) => `v${index}`);
  const from = definition({}, { volumes: names.map((name) => volume({ name })) });
  const found = readChanged(({ spec }) => {
    const { volumes } = spec.template.spec;
    // Without what it needs and with an unknown value besides; an unknown kind of item; known, with an unknown source.
    delete volumes[2].name;
    volumes[2].kind = 'tape';
    volumes[10] = 'memory';
    volumes[11].source = { nbd: { host: 'store' } };
  }, from);
  assert.deepEqual(unknownOf(found), [
    'spec.template.spec.volumes[10]',
    'spec.template.spec.volumes[11].source',
    'spec.template.spec.volumes[2]',
  ]);
  assert.deepEqual(
    machineOf(found).volumes?.map(({ name, kind }) => `${name} ${kind}`),
    names.filter((_, index) => ![2, 10].includes(index)).map((name) => `${name} disk`),
  );
});

void test('what is required has a stand-in where it is missing or not known', () => {
  const found = readChanged(({ spec }) => {
    delete spec.template.spec.resources.memory;
    spec.template.spec.resources.cpu = 'all';
    delete spec.template.spec.volumes;
  });
  assert.deepEqual(machineOf(found).resources, { cpu: '1', memory: '0' });
  assert.deepEqual(unknownOf(found), [
    'spec.template.spec.resources.cpu',
    'spec.template.spec.resources.memory',
  ]);
  for (const gone of ['spec', 'metadata'] as const) {
    const without = readChanged((manifest) => {
      delete manifest[gone];
    });
    assert.deepEqual(unknownOf(without), [gone]);
    assert.equal(without.name, 'web-1');
  }
});

void test('a run strategy that is not known starts nothing', () => {
  const unknown: readonly (readonly [string, (spec: Manifest) => void])[] = [
    ['spec.runStrategy', (spec) => (spec.runStrategy = 'Sometimes')],
    [
      'spec.running',
      (spec) => {
        delete spec.runStrategy;
        spec.running = 'perhaps';
      },
    ],
    ['spec', () => {}],
  ];
  for (const [field, change] of unknown) {
    const found = readChanged((manifest) => {
      if (field === 'spec') manifest.spec = 7;
      else change(manifest.spec);
    });
    assert.equal(found.spec.runStrategy, 'Manual');
    assert.deepEqual(unknownOf(found), [field]);
  }
});

void test('a manifest of another version or kind is read as far as it goes', () => {
  const found = readChanged((manifest) => {
    manifest.apiVersion = 'novacron.io/v2';
    manifest.kind = 'MicroVirtualMachine';
    manifest.status = { phase: 'Running' };
  });
  assert.deepEqual(unknownOf(found), ['apiVersion', 'kind', 'status']);
  assert.deepEqual({ ...found, newer: undefined }, definition());
});

void test('a definition of a higher version counts as newer though all of it is known', () => {
  const text = toDefinitionText(definition());
  const found = readDefinitionText(text, { ...factsOf(definition()), isNewerVersion: true });
  assert.deepEqual(found, { ...definition(), newer: { manifest: text, unknownFields: [] } });
});

void test('a text that was cut short is damaged, unless a newer agent may have another form', () => {
  const text = toDefinitionText(definition()).slice(0, -7);
  for (const isNewerVersion of [false, true]) {
    const { newer } = readDefinitionText(text, { ...factsOf(definition()), isNewerVersion });
    assert.equal(newer?.manifest, text);
    assert.equal(newer.isDamaged, isNewerVersion ? undefined : true);
  }
  const other = readChanged((manifest) => {
    delete manifest.spec;
  });
  assert.equal(other.newer?.isDamaged, undefined, 'it is JSON');
});

void test('any text at all keeps its VM, byte for byte', () => {
  const anyText = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.json(),
    fc.tuple(fc.jsonValue(), fc.jsonValue()).map(([metadata, spec]) =>
      JSON.stringify({
        apiVersion: 'novacron.io/v1alpha1',
        kind: 'VirtualMachine',
        metadata,
        spec,
      }),
    ),
    fc
      .jsonValue()
      .map((spec) => JSON.stringify({ metadata: { name: 'a' }, spec: { template: { spec } } })),
  );
  fc.assert(
    fc.property(anyText, (text) => {
      const { uid, namespace, name, ...facts } = factsOf(definition());
      const found = readDefinitionText(text, { uid, namespace, name, ...facts });
      assert.deepEqual([found.uid, found.namespace, found.name], [uid, namespace, name]);
      assert.equal(found.newer?.manifest, text);
      assert.ok(found.newer.unknownFields.length > 0);
      assert.equal(toDefinitionText(found), text);
    }),
  );
});

void test('however much is unknown, it is soon read', () => {
  const many = Array.from({ length: 50_000 }, (_, index) => index);
  const found = readChanged(({ spec }) => {
    spec.template.spec.volumes.push(...many);
    for (const index of many) spec[`x${index}`] = {};
  });
  // All volumes at once: they are more than a VM can have.
  assert.equal(found.newer?.unknownFields.length, many.length + 1);
  assert.equal(machineOf(found).volumes, undefined);
});

void test('names that objects have by nature are no keys of a manifest', () => {
  const text = toDefinitionText(definition()).replace(
    '"runStrategy"',
    '"__proto__":{"runStrategy":"Always"},"constructor":1,"toString":2,"runStrategy"',
  );
  const found = readDefinitionText(text, factsOf(definition()));
  assert.deepEqual(found.spec, definition().spec);
  assert.equal(found.newer?.manifest, text);
});

void test('user data is refused, its digest is not', () => {
  assert.throws(() => toDefinitionText(definition({}, { userData: 'secret' })), /digest/);
  const kept = definition({}, { userData: `sha256:${'ab'.repeat(32)}` });
  assert.deepEqual(readDefinitionText(toDefinitionText(kept), factsOf(kept)), kept);
});
