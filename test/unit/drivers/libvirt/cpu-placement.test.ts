import assert from 'node:assert/strict';
import { test } from 'node:test';
import { choose } from '../../../../src/drivers/libvirt/cpu-placement.ts';
import { buildDomainXml } from '../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import { definition, machine, tcgOptions } from '../../../fixtures/domain-xml/definitions.ts';

const NONE = new Set<number>();
const SHARED = [0, 1];

function made(edit: (xml: string) => string = (xml) => xml): DomainDocument {
  const wanted = definition({}, { cpu: { dedicated: true } });
  return DomainDocument.parse(edit(buildDomainXml(wanted, tcgOptions)));
}

test('CPUs that are free are chosen, those first that it has had before', () => {
  assert.deepEqual(choose([2, 3, 4, 5], 2, NONE, []), [2, 3]);
  assert.deepEqual(choose([2, 3, 4, 5], 2, new Set([2]), []), [3, 4]);
  assert.deepEqual(choose([2, 3, 4, 5], 2, NONE, [5, 4]), [5, 4]);
  assert.deepEqual(choose([2, 3, 4, 5], 3, new Set([4]), [5, 4, 9]), [5, 2, 3]);
  // One that both of its CPUs were held to by hand.
  assert.deepEqual(choose([2, 3], 2, NONE, [2, 2]), [2, 3]);
  assert.equal(choose([2, 3], 2, new Set([3]), []), undefined);
});

test('each of its CPUs is held to one of the host, and the rest of it to those that are shared', () => {
  const placed = made().withPlacement({ shared: SHARED, pins: [4, 2] });
  assert.deepEqual(placed.pinnedCpus, [4, 2]);
  assert.match(placed.toString(), /<vcpu placement='static' cpuset='0-1'>2<\/vcpu>/);
  assert.deepEqual(placed.drift, []);
  assert.equal(
    placed.withPlacement({ shared: SHARED, pins: [4, 2] }).toString(),
    placed.toString(),
  );
  assert.deepEqual(placed.withPlacement({ shared: SHARED, pins: [5] }).pinnedCpus, [5]);
  const shares = placed.withMachine(machine(), tcgOptions);
  assert.deepEqual(shares.pinnedCpus, []);
  assert.doesNotMatch(shares.toString(), /cputune/);
});

test('what somebody has tuned beside that stays', () => {
  const tune = "<cputune><vcpupin vcpu='1' cpuset='2-3'/><shares>5</shares></cputune>";
  const tuned = made((xml) => xml.replace('<os>', `${tune}<os>`));
  assert.deepEqual(tuned.pinnedCpus, [2, 3]);
  const placed = tuned.withPlacement({ shared: SHARED, pins: [6, 7] });
  assert.deepEqual(new Set(placed.pinnedCpus), new Set([6, 7]));
  assert.match(placed.withMachine(machine(), tcgOptions).toString(), /<cputune>\s*<shares>5/);
  assert.deepEqual(tuned.withPlacement({ shared: SHARED, pins: [] }).pinnedCpus, [2, 3]);
});

test('what moves is no longer held to the CPUs of this host, unless somebody else has said which', () => {
  const placed = made().withPlacement({ shared: SHARED, pins: [] });
  assert.equal(placed.withoutPlacement(SHARED).toString(), made().toString());
  assert.equal(placed.withoutPlacement([0, 1, 2]).toString(), placed.toString());
  assert.equal(made().withoutPlacement(SHARED).toString(), made().toString());
});
