import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MachineParts } from '../../../../src/drivers/hypervisor-host.ts';
import { machineProblems } from '../../../../src/drivers/libvirt/machine-problems.ts';

const KVM = `<domainCapabilities><features><hyperv supported='yes'><enum name='features'>
  <value>relaxed</value><value>vapic</value><value>spinlocks</value></enum></hyperv></features></domainCapabilities>`;
const FACTS = { libvirtVersion: '9.1.0', capabilities: KVM, hasVsock: true };

function fieldsOf(machine: MachineParts, facts: Partial<typeof FACTS> = {}): readonly string[] {
  return machineProblems(machine, { ...FACTS, ...facts }).map(({ field }) => field);
}

test('the watchdog of the board needs a libvirt that knows it', () => {
  const watchdog = { model: 'itco', action: 'reset' } as const;
  assert.deepEqual(fieldsOf({ watchdog }), []);
  assert.deepEqual(fieldsOf({ watchdog }, { libvirtVersion: '10.0.0' }), []);
  assert.deepEqual(fieldsOf({ watchdog }, { libvirtVersion: '9.0.0' }), ['watchdog.model']);
  const card = { ...watchdog, model: 'i6300esb' } as const;
  assert.deepEqual(fieldsOf({ watchdog: card }, { libvirtVersion: '9.0.0' }), []);
});

test('memory that grows needs a libvirt that knows virtio-mem', () => {
  const memory = { max: '2Gi' };
  assert.deepEqual(fieldsOf({ memory }), []);
  assert.deepEqual(fieldsOf({ memory }, { libvirtVersion: '7.8.0' }), ['memory.max']);
  assert.deepEqual(fieldsOf({ memory: {} }, { libvirtVersion: '7.8.0' }), []);
});

test('a socket needs the device of the host', () => {
  assert.deepEqual(fieldsOf({ vsock: {} }), []);
  assert.deepEqual(fieldsOf({ vsock: {} }, { hasVsock: false }), ['vsock']);
  assert.deepEqual(fieldsOf({}, { hasVsock: false }), []);
});

test('enlightenments that KVM does not give are named, and nothing is said where libvirt says nothing', () => {
  const hyperv = { enabled: true, features: ['relaxed' as const, 'runtime' as const] };
  const [problem] = machineProblems({ hyperv }, FACTS);
  assert.match(problem?.description ?? '', /^needs runtime, which KVM/);
  assert.deepEqual(fieldsOf({ hyperv: { enabled: true, features: ['relaxed'] } }), []);
  assert.deepEqual(fieldsOf({ hyperv: { enabled: true } }), ['hyperv']);
  assert.deepEqual(fieldsOf({ hyperv: { ...hyperv, enabled: false } }), []);
  for (const capabilities of ['', '<domainCapabilities><features/></domainCapabilities>']) {
    assert.deepEqual(fieldsOf({ hyperv }, { capabilities }), []);
  }
  const none = KVM.replace("supported='yes'", "supported='no'");
  assert.deepEqual(fieldsOf({ hyperv }, { capabilities: none }), ['hyperv']);
});
