import assert from 'node:assert/strict';
import { test } from 'node:test';
import { buildDomainXml } from '../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { shapeOf } from '../../../../src/drivers/libvirt/validated-shapes.ts';
import { definition, tcgOptions, volume } from '../../../fixtures/domain-xml/definitions.ts';

const shape = (...of: Parameters<typeof definition>) =>
  shapeOf(buildDomainXml(definition(...of), tcgOptions));

void test('VMs that differ in names, sizes and paths have one shape', () => {
  const other = { name: 'db', uid: '7f1a3c52-8f0e-4c47-9d5e-0d7c51b1a002', labels: { tier: 'db' } };
  const machine = {
    resources: { cpu: '8', memory: '64Gi' },
    volumes: [volume({ source: { file: { path: '/srv/other.qcow2' } }, bootOrder: 1 })],
  };
  assert.equal(shape(other, machine), shape());
});

void test('another element, attribute or word makes another shape', () => {
  const machines = [
    { volumes: [volume()] },
    { volumes: [volume({ bootOrder: 1, bus: 'scsi' as const })] },
    { volumes: [volume({ bootOrder: 1, cache: 'writeback' as const })] },
    { volumes: [volume({ bootOrder: 1, readOnly: true })] },
    { firmware: { type: 'uefi' as const } },
    { display: { type: 'vnc' as const } },
  ];
  const shapes = [shape(), ...machines.map((machine) => shape({}, machine))];
  assert.equal(new Set(shapes).size, shapes.length);
});
