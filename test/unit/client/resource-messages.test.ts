import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import * as z from 'zod';
import {
  fromMachineMessage,
  fromVirtualMachineMessage,
  toVirtualMachineMessage,
} from '../../../src/client/resource-messages.ts';
import { bare, choice, metaOf } from '../../../src/core/resources/field-schemas.ts';
import { parseVirtualMachine } from '../../../src/core/resources/parse-virtual-machine.ts';
import { virtualMachine } from '../../../src/core/resources/virtual-machine.ts';
import {
  MachineSpec,
  VirtualMachine,
  VolumeBus,
} from '../../../src/gen/novacron/agent/v1/virtual_machine.ts';
import { manifest, SPECIFICATION_EXAMPLE } from '../../fixtures/manifests.ts';
import { SchemaAgainstProto } from './schema-against-proto.ts';

const FILE = 'novacron/agent/v1/virtual_machine.proto';

type VmDocument = Parameters<typeof toVirtualMachineMessage>[0];

test('schema and proto have the same fields, enum values and presence', () => {
  const comparison = new SchemaAgainstProto(FILE);
  comparison.compareMessage(virtualMachine, 'VirtualMachine', 'VirtualMachine');
  assert.deepEqual(comparison.differences, []);
});

for (const [title, schema, message, difference] of [
  [
    'a field of the schema alone',
    z.object({ path: z.string(), extra: z.string() }),
    'FileSource',
    'extra is not in the message FileSource',
  ],
  ['a field of the proto alone', z.object({}), 'FileSource', 'path is not in the schema'],
  [
    'another type',
    z.object({ path: z.boolean() }),
    'FileSource',
    'path is TYPE_STRING, not TYPE_BOOL',
  ],
  [
    'another presence',
    z.object({ log: z.boolean() }),
    'ConsoleSpec',
    'log is required in the schema, but optional in the proto',
  ],
  [
    'a list that is none',
    z.object({ path: z.array(z.string()) }),
    'FileSource',
    'path is a list in the schema only',
  ],
] as const) {
  test(`the comparison finds ${title}`, () => {
    const comparison = new SchemaAgainstProto(FILE);
    comparison.compareMessage(schema, message, 'it');
    assert.deepEqual(comparison.differences, [`it.${difference}`]);
  });
}

test('the comparison finds enum values that only one side has', () => {
  const comparison = new SchemaAgainstProto(FILE);
  const method = choice('IPV4_METHOD', ['dhcp', 'slaac']).optional();
  const text = z.string().optional();
  comparison.compareMessage(z.object({ method, address: text, gateway: text }), 'Ipv4Spec', 'it');
  assert.deepEqual(comparison.differences, [
    'it.method lacks IPV4_METHOD_SLAAC',
    'it.method has IPV4_METHOD_STATIC besides',
  ]);
});

/** Over the wire and back. */
function carried(document: VmDocument): unknown {
  const bytes = VirtualMachine.encode(toVirtualMachineMessage(document)).finish();
  return fromVirtualMachineMessage(VirtualMachine.decode(bytes));
}

test('the example of the specification survives the wire and back', () => {
  const wanted = parseVirtualMachine(SPECIFICATION_EXAMPLE);
  assert.deepEqual(carried(wanted), wanted);
});

test('what is left out stays left out', () => {
  const { metadata, spec } = manifest();
  const message = VirtualMachine.fromPartial({
    metadata,
    spec: {
      template: {
        spec: { resources: { cpu: '1', memory: '1Gi' }, kernel: { path: '/boot/vmlinuz' } },
      },
    },
  });
  assert.deepEqual(fromVirtualMachineMessage(message), {
    metadata: { name: 'web' },
    spec: { template: { spec: { ...spec.template.spec, resources: { cpu: '1', memory: '1Gi' } } } },
  });
});

test('what is false or 0 is not taken for left out', () => {
  const machine = MachineSpec.fromPartial({
    console: { log: false },
    devices: [{ type: 'gpu', count: 0 }],
  });
  assert.deepEqual(fromMachineMessage(machine), {
    console: { log: false },
    devices: [{ type: 'gpu', count: 0 }],
  });
});

test('an enum value of a newer client is refused by its field, and so is a source that is not known', () => {
  const message = VirtualMachine.fromPartial({
    metadata: { name: 'web' },
    spec: {
      template: {
        spec: {
          resources: { cpu: '1', memory: '1Gi' },
          volumes: [{ name: 'root', bus: 99 as VolumeBus, source: {} }],
        },
      },
    },
  });
  assert.throws(
    () => parseVirtualMachine(fromVirtualMachineMessage(message)),
    (error) => {
      const fields = (error as { violations: { field: string }[] }).violations.map((v) => v.field);
      assert.deepEqual(fields, [
        'spec.template.spec.volumes[0].source',
        'spec.template.spec.volumes[0].bus',
      ]);
      return true;
    },
  );
});

/** Anything that a schema's type can hold, whether or not its rules accept it. */
function anyOf(schema: z.core.$ZodType): fc.Arbitrary<unknown> {
  const type = bare(schema);
  const { leaf, oneof } = metaOf(schema);
  if (leaf !== undefined) return LEAVES[leaf];
  if (type instanceof z.ZodObject) {
    const fields = Object.entries<z.core.$ZodType>(type.shape);
    if (oneof !== undefined) {
      const cases = fields.map(([key, field]) => anyOf(field).map((value) => ({ [key]: value })));
      return fc.oneof(...cases);
    }
    const required = fields.filter(([, field]) => !(field instanceof z.ZodOptional));
    return fc.record(Object.fromEntries(fields.map(([key, field]) => [key, anyOf(field)])), {
      requiredKeys: required.map(([key]) => key),
      noNullPrototype: true,
    });
  }
  // An empty list and an empty map are none.
  if (type instanceof z.ZodArray)
    return fc.array(anyOf(type.element), { minLength: 1, maxLength: 3 });
  if (type instanceof z.ZodRecord) {
    return fc.dictionary(TEXT, fc.string({ unit: 'grapheme' }), {
      minKeys: 1,
      maxKeys: 3,
      noNullPrototype: true,
    });
  }
  if (type instanceof z.ZodEnum) return fc.constantFrom(...type.options);
  if (type instanceof z.ZodBoolean) return fc.boolean();
  if (type instanceof z.ZodNumber) return fc.nat();
  return TEXT;
}

const TEXT = fc.string({ unit: 'grapheme', minLength: 1 }).filter((text) => text !== '__proto__');
const LEAVES = {
  int64: fc.maxSafeNat(),
  generation: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  timestamp: fc
    .date({ min: new Date(0), max: new Date('2999-01-01'), noInvalidDate: true })
    .map((date) => date.toISOString()),
  struct: fc.dictionary(TEXT, fc.oneof(TEXT, fc.boolean(), fc.nat(), fc.constant([{ a: null }])), {
    minKeys: 1,
    noNullPrototype: true,
  }),
  value: fc.oneof(TEXT, fc.constant(''), fc.boolean(), fc.nat(), fc.constant({ list: [{ a: 1 }] })),
} as const;

test('every VM survives the wire and back, field by field', () => {
  fc.assert(
    fc.property(anyOf(virtualMachine), (document) => {
      assert.deepEqual(carried(document as VmDocument), document);
    }),
    { numRuns: 300 },
  );
});
