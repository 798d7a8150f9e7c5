import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as z from 'zod';
import { bare, metaOf } from '../../../../../src/core/resources/field-schemas.ts';
import { machine } from '../../../../../src/core/resources/machine.ts';
import {
  DOMAIN_PARTS,
  effectOf,
} from '../../../../../src/drivers/libvirt/domain-xml/domain-parts.ts';

/** Fields of a machine that stand in no element: a change of them is in force at once. What the system of the guest has filled in are fields of their own. */
const WITHOUT_ELEMENT = [
  'os',
  // They are of the disk that was made from it.
  'image.source',
  'image.digest',
  'image.format',
  'image.pullPolicy',
  'image.clone',
  'image.auth',
  'nodeSelector',
  'affinity',
  'ioErrorResume',
  'volumes[0].accessMode',
  'volumes[0].shared',
  'networks[0].ipv4',
];
/** Fields that the agent refuses as yet. Who makes one of them possible gives it a part, or a place above. */
const REFUSED = ['devices', 'lifecycle'];

/** The paths of all fields, those of lists as of a first item. */
function fieldsOf(schema: z.core.$ZodType, path: string): readonly string[] {
  const type = bare(schema);
  if (type instanceof z.ZodArray && bare(type.element) instanceof z.ZodObject) {
    return fieldsOf(type.element, `${path}[0]`);
  }
  if (!(type instanceof z.ZodObject)) return [path];
  return Object.entries(type.shape).flatMap(([key, field]) =>
    fieldsOf(field, path === '' ? key : `${path}.${key}`),
  );
}

/** What is changed while a guest runs, whatever its value was. */
const LIVE = ['networks[0].link', 'networks[0].bridge'];

const isBelow = (field: string, above: string) =>
  field === above || field.startsWith(`${above}.`) || field.startsWith(`${above}[`);

void test('each field of a machine is one part of the domain, or known to be none', () => {
  const fields = fieldsOf(machine, '');
  assert.ok(fields.length > 40);
  for (const field of fields) {
    const parts = DOMAIN_PARTS.filter((part) => part.effectOf(field) !== undefined);
    const isNone = [...WITHOUT_ELEMENT, ...REFUSED].some((none) => isBelow(field, none));
    const isOfPart = /^(volumes|networks)\[0\]/.test(field);
    assert.equal(parts.length, isNone && !isOfPart ? 0 : 1, field);
    const expected = LIVE.includes(field) ? 'live' : isNone ? 'now' : 'next-start';
    assert.equal(effectOf(`spec.template.spec.${field}`), expected, field);
  }
});

void test('fields that are refused are still refused', () => {
  for (const field of REFUSED.filter((name) => name !== 'lifecycle')) {
    const type = machine.shape[field as keyof typeof machine.shape] as z.core.$ZodType;
    assert.ok(metaOf(type).notSupported !== undefined, field);
  }
});

void test('what is not of the machine is in force at once', () => {
  for (const field of [
    'metadata.labels.app',
    'spec.runStrategy',
    'spec.migrationPolicy.bandwidth',
    'spec.template.metadata.labels.app',
  ]) {
    assert.equal(effectOf(field), 'now');
  }
});

void test('a whole volume, or all of them, are there at the next start', () => {
  for (const field of ['volumes', 'volumes[3]', 'firmware', 'kernel', 'cpu', 'console']) {
    assert.equal(effectOf(`spec.template.spec.${field}`), 'next-start');
  }
});
