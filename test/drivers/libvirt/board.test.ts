import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { hasReason } from '../../../src/core/errors.ts';
import type { Machine } from '../../../src/core/resources/machine.ts';
import { withPreset } from '../../../src/core/resources/os-preset.ts';
import { parseVirtualMachine } from '../../../src/core/resources/parse-virtual-machine.ts';
import type { VmDefinition } from '../../../src/core/vm-definition.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';
import { until } from '../../fixtures/until.ts';
import { LibvirtPair } from './libvirt-pair.ts';
import { skipReason } from './private-libvirt.ts';

const never = new AbortController().signal;
const SMBIOS = {
  manufacturer: 'Müller & Sons',
  product: 'Rack, 2',
  serial: 'S=1,2',
  assetTag: 'A 7',
} as const;
const HAS_VSOCK = existsSync('/dev/vhost-vsock');

describe("a machine's board", { skip: skipReason() }, () => {
  let pair: LibvirtPair;
  before(async () => {
    pair = await LibvirtPair.start();
  });
  after(() => pair[Symbol.asyncDispose]());

  test('has watchdog, SMBIOS and what else was asked for, takes it along, and loses what is taken back', async () => {
    const { source, destination, sourceNode, destinationNode } = pair;
    const vm = tinyVm(
      {},
      {
        watchdog: { model: 'i6300esb', action: 'poweroff' },
        firmware: { type: 'bios', smbios: SMBIOS },
        // Without KVM they are left out.
        hyperv: { enabled: true },
      },
    );
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    const text = sourceNode.virsh('dumpxml', vm.uid);
    assert.match(text, /<watchdog model='i6300esb' action='poweroff'/);
    assert.doesNotMatch(text, /<hyperv/);
    const log = sourceNode.run('cat', `/var/log/libvirt/qemu/${vm.namespace}_${vm.name}.log`);
    assert.ok(
      log.includes("'type=1,manufacturer=Müller & Sons,product=Rack,, 2,serial=S=1,,2'"),
      log,
    );
    assert.match(log, /asset=A 7/);
    assert.deepEqual((await source.domains.find(vm.uid, never))?.drift, []);
    await source.jobs.migrate(vm.uid, pair.migration(vm, 'fast'), never);
    const arrived = await destination.domains.find(vm.uid, never);
    assert.deepEqual([arrived?.drift, arrived?.definition?.spec], [[], vm.spec]);
    await destination.domains.destroy(vm.uid, never);
    await destination.domains.start(vm.uid, never);
    await destination.domains.destroy(vm.uid, never);
    await destination.domains.define(changed(vm, {}), never);
    const left = destinationNode.virsh('dumpxml', vm.uid);
    assert.doesNotMatch(left, /<watchdog|sysinfo|asset/);
    await destination.domains.start(vm.uid, never);
    await destination.domains.destroy(vm.uid, never);
    await destination.domains.undefine(vm.uid, never);
    await source.domains.removeFiles(vm.uid, never);
  });

  test('has a socket to its node, which a node without the device says beforehand that it cannot give', async () => {
    const { source, sourceNode } = pair;
    const vm = tinyVm({}, { vsock: { cid: 'auto' } });
    await source.domains.define(vm, never);
    assert.match(
      sourceNode.virsh('dumpxml', vm.uid),
      /<vsock model='virtio'>\s*<cid auto='yes'\/>/,
    );
    const problems = await source.host.findMachineProblems(
      { vsock: { cid: 'auto' } },
      'tcg',
      never,
    );
    assert.deepEqual(
      problems.map(({ field }) => field),
      HAS_VSOCK ? [] : ['vsock'],
    );
    if (!HAS_VSOCK) {
      await assert.rejects(source.domains.start(vm.uid, never), (error: Error) =>
        hasReason(error, 'FEATURE_NOT_SUPPORTED'),
      );
    }
    await source.domains.define(changed(vm, {}), never);
    assert.doesNotMatch(sourceNode.virsh('dumpxml', vm.uid), /<vsock/);
    await source.domains.undefine(vm.uid, never);
  });

  test('has a watchdog that pauses it, and libvirt tells that it has fired', async () => {
    const { source, sourceNode } = pair;
    const vm = tinyVm({}, { watchdog: { model: 'i6300esb', action: 'pause' } });
    await source.domains.define(vm, never);
    // Of this one QEMU's monitor reaches the ports, as the guest does; both do the same once they fire.
    const xml = sourceNode.virsh('dumpxml', vm.uid);
    await sourceNode.defineXml(
      xml.replace(
        /<watchdog model='i6300esb' [^]*?<\/watchdog>/,
        "<watchdog model='ib700' action='pause'/>",
      ),
    );
    await source.domains.start(vm.uid, never);
    const ending = new AbortController();
    const events = source.events.watch(ending.signal);
    // It is set to end at once.
    sourceNode.virsh('qemu-monitor-command', vm.uid, '--hmp', 'o /b 0x443 0xf');
    for await (const event of events) {
      if (event.kind !== 'watchdog') continue;
      assert.deepEqual(event, { kind: 'watchdog', uid: vm.uid, action: 'pause' });
      break;
    }
    ending.abort();
    await until('the VM is paused', async () => {
      const found = await source.domains.find(vm.uid, never);
      return found?.state === 'paused' && found.stateReason === 'watchdog';
    });
    await source.domains.destroy(vm.uid, never);
    await source.domains.undefine(vm.uid, never);
  });

  test('starts with all that Windows needs', async () => {
    const { source, sourceNode } = pair;
    const disk = path.join(sourceNode.folder, 'windows.raw');
    await writeFile(disk, '');
    await truncate(disk, 2 ** 20);
    const { wanted } = withPreset(
      parseVirtualMachine({
        metadata: { name: 'win' },
        spec: {
          template: {
            spec: {
              os: 'windows',
              resources: { cpu: 1, memory: '64Mi' },
              networks: [{ name: 'lan', type: 'bridge', bridge: 'br0' }],
              volumes: [{ name: 'system', format: 'raw', source: { file: { path: disk } } }],
            },
          },
        },
      }),
    );
    const vm = tinyVm({ spec: wanted.spec });
    await source.domains.define(vm, never);
    await source.domains.start(vm.uid, never);
    const text = sourceNode.virsh('dumpxml', vm.uid);
    for (const pattern of [
      /<loader [^>]*secure='yes'/,
      /<tpm model='tpm-crb'/,
      /<clock offset='localtime'/,
      /<target dev='sda' bus='sata'/,
      /<model type='e1000e'/,
      /<graphics type='vnc'/,
      /<input type='tablet' bus='usb'/,
    ]) {
      assert.match(text, pattern);
    }
    const found = await source.domains.find(vm.uid, never);
    assert.deepEqual([found?.drift, found?.definition], [[], vm]);
    await source.domains.destroy(vm.uid, never);
    await source.domains.undefine(vm.uid, never);
  });

  test('says what this libvirt and this KVM lack', async () => {
    const { host } = pair.source;
    const { libvirtVersion } = await host.getInfo(never);
    const [major = 0, minor = 0] = libvirtVersion.split('.').map(Number);
    const ask = async (machine: Partial<Machine>, accelerator: 'kvm' | 'tcg') =>
      (await host.findMachineProblems(machine, accelerator, never)).map(({ field }) => field);
    const itco = { model: 'itco', action: 'reset' } as const;
    const isOld = major * 1000 + minor < 9001;
    assert.deepEqual(await ask({ watchdog: itco }, 'tcg'), isOld ? ['watchdog.model'] : []);
    assert.deepEqual(await ask({ watchdog: { ...itco, model: 'i6300esb' } }, 'tcg'), []);
    assert.deepEqual(await ask({ hyperv: { enabled: true } }, 'tcg'), []);
    assert.deepEqual(await ask({ hyperv: { enabled: false } }, 'kvm'), []);
  });
});

function changed({ uid, namespace, name }: VmDefinition, machine: Partial<Machine>): VmDefinition {
  return tinyVm({ uid, namespace, name, generation: 2 }, machine);
}
