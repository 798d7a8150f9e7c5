import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasReason } from '../../../../../../src/core/errors.ts';
import type { Machine } from '../../../../../../src/core/resources/machine.ts';
import { buildDomainXml } from '../../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import { readCurrentVcpus } from '../../../../../../src/drivers/libvirt/domain-xml/parts/cpu-count.ts';
import { requestFor } from '../../../../../../src/drivers/libvirt/domain-xml/parts/growing-memory.ts';
import { readMemory } from '../../../../../../src/drivers/libvirt/domain-xml/parts/memory-part.ts';
import {
  definition,
  MIB,
  machine,
  tcgOptions,
} from '../../../../../fixtures/domain-xml/definitions.ts';

const GIB = 1024 * MIB;
const odd = { ...tcgOptions, oddRamSize: true };

function made(changes: Partial<Machine>): DomainDocument {
  return DomainDocument.parse(buildDomainXml(definition({}, changes), odd));
}

function growing(memory: string, max: string): DomainDocument {
  return made({ resources: { cpu: '2', memory }, memory: { max } });
}

test('memory that grows is a device of the size that Linux can use, beside what the guest begins with', () => {
  const document = growing('512Mi', '600Mi');
  assert.deepEqual(readMemory(document.text.root).growing, {
    sizeBytes: 128 * MIB,
    requestedBytes: 0,
    takenBytes: 0,
  });
  assert.equal(readMemory(document.text.root).bootBytes, 512 * MIB);
  assert.equal(document.memoryBytes, 512 * MIB);
  const xml = document.toString();
  assert.match(xml, /<maxMemory slots='1' unit='KiB'>655360<\/maxMemory>/);
  assert.match(xml, /<memory unit='KiB'>655360<\/memory>/);
  assert.match(xml, /<currentMemory unit='KiB'>524288<\/currentMemory>/);
  assert.match(xml, /<cell id='0' cpus='0-1' memory='524288' unit='KiB'\/>/);
  assert.equal(readMemory(growing('64Gi', '65Gi').text.root).growing?.sizeBytes, 2 * GIB);
  // QEMU loses none of it only where it is not moved.
  assert.doesNotMatch(xml, /id=ram0/);
  assert.equal(document.lossyMemory, 'growth');
  assert.equal(made({}).lossyMemory, undefined);
});

test('memory that may not become more has no device, and one goes with the manifest that has had it', () => {
  assert.equal(readMemory(growing('512Mi', '512Mi').text.root).growing, undefined);
  const before = growing('512Mi', '1Gi');
  const after = before.withMachine(machine(), odd);
  assert.doesNotMatch(after.toString(), /virtio-mem|<numa>|maxMemory/);
  assert.equal(after.memoryBytes, 512 * MIB);
  assert.match(after.toString(), /id=ram0/);
});

test('what is requested, as somebody has changed it, is a drift that is put back', () => {
  const document = growing('512Mi', '1Gi');
  const text = document.toString().replace('>0</requested>', '>131072</requested>');
  const changed = DomainDocument.parse(text);
  assert.deepEqual(document.drift, []);
  assert.equal(changed.memoryBytes, 640 * MIB);
  assert.deepEqual(changed.drift, ['memory']);
  const { memory, resources } = {
    memory: { max: '1Gi' },
    resources: { cpu: '2', memory: '512Mi' },
  };
  const wanted = machine({ memory, resources });
  assert.equal(changed.withMachine(wanted, odd).toString(), document.toString());
});

test("what somebody else has of the kind leaves no place for a manifest's, and stays", () => {
  const numa = "<numa><cell id='0' cpus='0-1' memory='524288' unit='KiB'/></numa>";
  const foreign = DomainDocument.parse(made({}).toString().replace('</cpu>', `${numa}</cpu>`));
  assert.ok(foreign.withMachine(machine(), odd).toString().includes(numa));
  const wanted = machine({ memory: { max: '1Gi' } });
  assert.throws(
    () => foreign.withMachine(wanted, odd),
    (error: Error) => hasReason(error, 'FEATURE_NOT_SUPPORTED') && /<numa>/.test(error.message),
  );
});

test('so much is requested in whole blocks', () => {
  assert.deepEqual(
    [-1, 0, 1, 2 * MIB, 3 * MIB].map((bytes) => requestFor(bytes) / MIB),
    [0, 0, 2, 2, 4],
  );
});

test('CPUs that it may have stand in the domain, and those that it begins with can be taken away again', () => {
  const document = made({ resources: { cpu: '2', memory: '1Gi' }, cpu: { max: 3 } });
  const xml = document.toString();
  assert.match(xml, /<vcpu placement='static' current='2'>3<\/vcpu>/);
  assert.match(xml, /<vcpu id='0' enabled='yes' hotpluggable='no' order='1'\/>/);
  assert.match(xml, /<vcpu id='1' enabled='yes' hotpluggable='yes' order='2'\/>/);
  assert.match(xml, /<vcpu id='2' enabled='no' hotpluggable='yes'\/>/);
  assert.match(xml, /<topology sockets='1' dies='1' cores='3' threads='1'\/>/);
  assert.equal(readCurrentVcpus(document.text.root), 2);
  assert.deepEqual(document.drift, []);
  const fewer = document.withMachine(
    machine({ resources: { cpu: '1', memory: '1Gi' }, cpu: { max: 3 } }),
    odd,
  );
  assert.equal(readCurrentVcpus(fewer.text.root), 1);
  assert.match(fewer.toString(), /<vcpu id='1' enabled='no' hotpluggable='yes'\/>/);
  assert.deepEqual(fewer.drift, ['cpu']);
  const none = document.withMachine(machine(), odd);
  assert.doesNotMatch(none.toString(), /<vcpus>|current=/);
});
