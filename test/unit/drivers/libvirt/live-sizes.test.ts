import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import { buildDomainXml } from '../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { parseXml } from '../../../../src/drivers/libvirt/domain-xml/xml-parser.ts';
import {
  planCpus,
  planMemory,
  readLiveSizes,
  whatGuestLacks,
} from '../../../../src/drivers/libvirt/live/live-sizes.ts';
import type { LivePair } from '../../../../src/drivers/libvirt/live/live-step.ts';
import {
  definition,
  kvmOptions,
  MIB,
  machine,
  tcgOptions,
} from '../../../fixtures/domain-xml/definitions.ts';

const CPU = { field: 'spec.template.spec.resources.cpu', before: '2', after: '' };
const MEMORY = { field: 'spec.template.spec.resources.memory', before: '512Mi', after: '' };
const GROWS = { cpu: { max: 4 }, memory: { max: '1Gi' } } as const;

type Edit = (xml: string) => string;

function pair(
  wanted: Machine['resources'],
  started: Partial<Machine> = GROWS,
  edit: Edit = (xml) => xml,
  options = tcgOptions,
): LivePair {
  const xml = edit(buildDomainXml(definition({}, started), options)).replace(
    '<domain ',
    "<domain id='7' ",
  );
  const live = { root: parseXml(xml), source: xml };
  return { live, next: live, wanted: machine({ resources: wanted }) };
}

const has =
  (current: number, requested: number, taken: number): Edit =>
  (xml) =>
    xml
      .replace(/(<currentMemory[^>]*>)\d+/, `$1${current * 1024}`)
      .replace(
        /<requested[^>]*>0<\/requested>/,
        `<requested unit='KiB'>${requested * 1024}</requested><current unit='KiB'>${taken * 1024}</current>`,
      );

const planned = (of: LivePair) =>
  (planMemory(MEMORY, of) ?? []).map((call) => {
    if (call.operation === 'wait') return 'wait';
    const { operation, values } = call;
    return operation === 'updateDevice'
      ? `request ${/<requested[^>]*>(\d+)/.exec(values[0])?.[1]}`
      : `${operation} ${values.join(' ')}`;
  });

const sizes = (started: Partial<Machine>, options = tcgOptions) =>
  readLiveSizes(pair({ cpu: '2', memory: '512Mi' }, started, undefined, options).live.root);

const odd: Edit = (xml) => xml.replace(/(<currentMemory[^>]*>)\d+/, '$1524296');

test('CPUs are set to what is wanted, and nothing is done where there are as many', () => {
  assert.deepEqual(planCpus(CPU, pair({ cpu: '3', memory: '512Mi' })), [
    { operation: 'setVcpus', values: [3] },
  ]);
  assert.deepEqual(planCpus(CPU, pair({ cpu: '1500m', memory: '512Mi' })), []);
  assert.equal(planCpus(MEMORY, pair({ cpu: '3', memory: '512Mi' })), undefined);
});

test('what a VM may have while it runs follows from how it was started', () => {
  assert.deepEqual(sizes(GROWS), {
    vcpus: { given: 2, least: 2, most: 4 },
    memory: { givenBytes: 512 * MIB, leastBytes: 0, mostBytes: 1024 * MIB },
  });
  // With KVM a CPU goes back, but not the first.
  assert.deepEqual(sizes(GROWS, kvmOptions).vcpus, { given: 2, least: 1, most: 4 });
  assert.deepEqual(sizes({}, kvmOptions).vcpus, { given: 2, least: 2, most: 2 });
  const pages = sizes({ memory: { hugepages: '2Mi' } });
  assert.deepEqual([pages.memory.leastBytes, pages.memory.mostBytes], [512 * MIB, 512 * MIB]);
});

test('memory is requested beside what the guest began with, until it has taken that', () => {
  const wanted = { cpu: '2', memory: '640Mi' };
  assert.deepEqual(planned(pair(wanted)), ['request 131072']);
  assert.deepEqual(planned(pair(wanted, GROWS, has(576, 128, 64))), ['request 131072']);
  assert.deepEqual(planned(pair(wanted, GROWS, has(640, 128, 128))), []);
});

test('less than it began with is left by the balloon, once what was added has been given back', () => {
  const wanted = { cpu: '2', memory: '256Mi' };
  assert.deepEqual(planned(pair(wanted, GROWS, has(640, 128, 128))), [
    'request 0',
    'setBalloon 262144',
  ]);
  assert.deepEqual(planned(pair(wanted, GROWS, has(384, 0, 128))), ['request 0']);
  assert.deepEqual(planned(pair(wanted, GROWS, has(256, 0, 0))), []);
  const lack = whatGuestLacks(MEMORY, pair(wanted, GROWS, has(300, 0, 0)))?.lack;
  assert.match(lack ?? '', /^it has 300Mi now, and gives back the rest/);
});

test('a balloon lets go again, also of a block of odd size', () => {
  const wanted = { cpu: '2', memory: '512Mi' };
  assert.deepEqual(planned(pair(wanted, {}, has(256, 0, 0))), ['setBalloon 524288']);
  assert.deepEqual(planned(pair(wanted, {}, odd)), []);
});
