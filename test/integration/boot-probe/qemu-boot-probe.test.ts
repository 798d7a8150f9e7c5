import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { needs } from '../../../lab/test/capabilities.ts';
import { bootPayload } from '../../../src/drivers/boot-probe/boot-guest.ts';
import {
  QemuBootProbe,
  type QemuBootProbeOptions,
} from '../../../src/drivers/boot-probe/qemu-boot-probe.ts';
import { describeBootProbe } from '../../contract/boot-probe-contract.ts';

// Before any test: hooks run once those that are known have ended.
const skip = await needs('kvm-guests');
const QEMU = 'qemu-system-x86_64';
const folder = mkdtempSync(join(tmpdir(), 'novacron-boot-probe-'));
after(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'kvm-boots.json');

const probe = (changes: Partial<QemuBootProbeOptions> = {}): QemuBootProbe =>
  new QemuBootProbe({ file, bootId: 'boot', kernelRelease: '6.1.0', ...changes });

test('the guest boots on a real QEMU', async ({ signal }) => {
  const guest = { qemu: QEMU, accelerator: 'tcg', timeoutMs: 60_000 } as const;
  assert.deepEqual(await bootPayload(guest, signal), { boots: true, why: '' });
});

test('a kernel that is none is told in the words of QEMU', async ({ signal }) => {
  const payload = Buffer.alloc(100);
  const guest = { qemu: QEMU, accelerator: 'tcg', timeoutMs: 60_000, payload } as const;
  assert.match((await bootPayload(guest, signal)).why, /invalid kernel header/);
});

test('a host with KVM boots it with that', { skip }, async ({ signal }) => {
  assert.deepEqual(await probe().find(signal), { boots: true, why: '' });
});

test('without a device or QEMU none boots, and that is not kept', async ({ signal }) => {
  const noDevice = await probe({ device: join(folder, 'kvm') }).find(signal);
  assert.match(noDevice.why, /kvm cannot be opened \(ENOENT\)$/);
  const device = '/dev/null';
  const noQemu = await probe({ device, candidates: [join(folder, 'qemu')] }).find(signal);
  assert.match(noQemu.why, /no QEMU/);
  assert.throws(() => readFileSync(file), { code: 'ENOENT' });
});

test('a finding is kept for its boot and its QEMU', async ({ signal }) => {
  const options = { device: '/dev/null', candidates: ['/bin/false'], architecture: 'x64' };
  const first = await probe(options).find(signal);
  assert.match(first.why, /QEMU has ended with 1$/);
  assert.match(readFileSync(file, 'utf8'), /QEMU has ended with 1/);
  assert.deepEqual(await probe({ ...options, candidates: ['/bin/false'] }).find(signal), first);
  const other = await probe({ ...options, candidates: ['/bin/true'] }).find(signal);
  assert.match(other.why, /QEMU has ended with 0$/);
});

describeBootProbe({
  // Elsewhere than on x86 the device is trusted.
  boots: () => probe({ device: '/dev/null', architecture: 'arm64' }),
  hangs: () => probe({ device: '/dev/null', candidates: ['/bin/false'] }),
});
