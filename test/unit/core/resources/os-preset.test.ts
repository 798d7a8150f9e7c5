import assert from 'node:assert/strict';
import { test } from 'node:test';
import { API_VERSION } from '../../../../src/core/resources/api-version.ts';
import type { Machine } from '../../../../src/core/resources/machine.ts';
import { presetNotes, withPreset } from '../../../../src/core/resources/os-preset.ts';
import { parseVirtualMachine } from '../../../../src/core/resources/parse-virtual-machine.ts';

const SYSTEM = diskOf('system');

function diskOf(name: string) {
  return { name, source: { file: { path: `/images/${name}.qcow2` } }, format: 'qcow2' };
}

function parsed(machine: object) {
  return parseVirtualMachine({
    apiVersion: API_VERSION,
    metadata: { name: 'win' },
    spec: {
      template: {
        spec: { resources: { cpu: 2, memory: '4Gi' }, volumes: [SYSTEM], ...machine },
      },
    },
  });
}

function filled(machine: object, before?: Machine) {
  const { wanted, set } = withPreset(parsed(machine), before);
  // What it makes is what a manifest may say.
  const { metadata, spec } = parseVirtualMachine(wanted);
  assert.deepEqual({ metadata, spec }, wanted);
  return { machine: wanted.spec.template.spec, set, fields: set.map(({ field }) => field) };
}

test('nothing is filled in for Linux, or where no system is named', () => {
  for (const machine of [{}, { os: 'linux' }]) {
    const wanted = parsed(machine);
    assert.deepEqual(withPreset(wanted), { wanted, set: [] });
    assert.deepEqual(presetNotes(withPreset(wanted)), []);
  }
});

test('a new Windows has all that its installer asks for, and no driver to bring', () => {
  const networks = [{ name: 'lan', type: 'bridge' }];
  const drivers = { name: 'drivers', kind: 'cdrom' };
  const volumes = [SYSTEM, drivers];
  const { machine, fields } = filled({ os: 'windows', networks, volumes, userData: 'x' });
  assert.deepEqual(fields, [
    'machineType',
    'firmware',
    'volumes[0].bus',
    'networks[0].model',
    'clock.offset',
    'hyperv',
    'display',
    'cloudInit.dataSource',
  ]);
  assert.deepEqual(machine.firmware, { type: 'uefi', secureBoot: true, tpm: { version: '2.0' } });
  assert.deepEqual(
    [machine.machineType, machine.clock, machine.hyperv, machine.cloudInit],
    ['q35', { offset: 'localtime' }, { enabled: true }, { dataSource: 'configdrive' }],
  );
  assert.deepEqual(machine.display, { type: 'vnc', tablet: true });
  assert.deepEqual(
    [machine.volumes?.map(({ bus }) => bus), machine.networks?.[0]?.model],
    [['sata', undefined], 'e1000e'],
  );
});

test('what the manifest says itself wins', () => {
  const own = {
    os: 'windows',
    machineType: 'pc',
    clock: { offset: 'utc' },
    hyperv: { enabled: false },
    display: { type: 'none' },
    firmware: { type: 'bios' },
    cloudInit: { dataSource: 'nocloud' },
    networks: [{ name: 'lan', type: 'bridge', model: 'virtio' }],
    volumes: [{ ...SYSTEM, bus: 'virtio' }],
  };
  const wanted = parsed(own);
  assert.deepEqual(withPreset(wanted), { wanted, set: [] });
  // The older board has neither Secure Boot nor what needs it.
  assert.equal(filled({ os: 'windows', machineType: 'pc' }).machine.firmware, undefined);
  const networkConfig = 'version: 2';
  assert.equal(
    filled({ os: 'windows', cloudInit: { networkConfig } }).machine.cloudInit?.dataSource,
    undefined,
  );
});

test('disks that SATA has no place for, or that it cannot be, are left to virtio', () => {
  const volumes = Array.from({ length: 8 }, (_, index) => ({
    ...diskOf(`d${index}`),
    ...(index === 0 && { readOnly: true }),
    ...(index === 1 && { target: 'vdb' }),
  }));
  const { machine } = filled({ os: 'windows', volumes, userData: 'x' });
  assert.deepEqual(
    machine.volumes?.map(({ bus }) => bus ?? ''),
    ['', '', 'sata', 'sata', 'sata', 'sata', 'sata', ''],
  );
});

test('filling in again, or what it has made, changes nothing', () => {
  const manifest = {
    os: 'windows',
    networks: [{ name: 'lan', type: 'bridge' }],
    userData: 'x',
  };
  const { machine } = filled(manifest);
  assert.deepEqual(filled(manifest, machine).machine, machine);
  assert.deepEqual(filled(machine, machine), { machine, set: [], fields: [] });
});

test('the hardware of one that is there stays as its guest was installed on it, and only what is new is for Windows', () => {
  const before = filled({ networks: [{ name: 'lan', type: 'bridge' }] }).machine;
  const networks = ['lan', 'dmz'].map((name) => ({ name, type: 'bridge' }));
  const volumes = [SYSTEM, diskOf('data')];
  const { machine, fields } = filled({ os: 'windows', networks, volumes }, before);
  assert.deepEqual(fields, [
    'volumes[1].bus',
    'networks[1].model',
    'clock.offset',
    'hyperv',
    'display',
  ]);
  assert.deepEqual([machine.firmware, machine.machineType], [undefined, undefined]);
  assert.deepEqual(filled({ os: 'windows', networks, volumes }, machine).machine, machine);
});

test('the disk of resources.disk is on SATA as well, and stays where it is if it has been there', () => {
  const resources = { cpu: 2, memory: '4Gi', disk: '64Gi' };
  const { machine } = filled({ os: 'windows', resources, volumes: undefined });
  assert.deepEqual(machine.volumes, [{ name: 'root', kind: 'disk', cache: 'none', bus: 'sata' }]);
  assert.deepEqual(
    filled({ os: 'windows', resources, volumes: undefined }, machine).machine,
    machine,
  );
  const before = filled({ resources, volumes: undefined }).machine;
  const { machine: kept } = filled({ os: 'windows', resources, volumes: undefined }, before);
  assert.equal(kept.volumes, undefined);
});

const FILLED = { type: 'uefi', secureBoot: true, tpm: { version: '2.0' } } as const;

test('what of the firmware is left open is filled in, or stays, each by itself', () => {
  const smbios = { sku: 'k' };
  const parts = [
    [{ smbios }, { ...FILLED, smbios }, ['type', 'secureBoot', 'tpm']],
    [{ tpm: { version: '2.0' } }, FILLED, ['type', 'secureBoot']],
    [{ nvram: 'reset' }, { ...FILLED, nvram: 'reset' }, ['type', 'secureBoot', 'tpm']],
    [{ secureBootKeys: 'none' }, { ...FILLED, secureBootKeys: 'none' }, undefined],
    [{ type: 'uefi', secureBoot: false }, { ...FILLED, secureBoot: false }, ['tpm']],
    [{ type: 'bios', smbios }, { type: 'bios', smbios }, []],
  ] as const;
  const before = filled({ os: 'windows' }).machine;
  assert.deepEqual(before.firmware, FILLED);
  for (const [firmware, expected, names] of parts) {
    const { machine, fields } = filled({ os: 'windows', firmware });
    assert.deepEqual(machine.firmware, expected);
    const own = fields.filter((field) => field.startsWith('firmware'));
    if (names !== undefined) {
      assert.deepEqual(
        own,
        names.map((name) => `firmware.${name}`),
      );
    }
    assert.deepEqual(filled({ os: 'windows', firmware }, machine).machine.firmware, expected);
    const tpm = { version: '2.0' };
    const isBios = expected.type === 'bios';
    const present = isBios ? { ...expected, tpm } : expected;
    assert.deepEqual(filled({ os: 'windows', firmware }, before).machine.firmware, present);
  }
});

test('a Windows that was installed with BIOS stays on it whatever else is said of its firmware', () => {
  const before = filled({}).machine;
  const firmware = { smbios: { sku: 'k' } };
  assert.deepEqual(filled({ os: 'windows', firmware }, before).machine.firmware, {
    type: 'bios',
    ...firmware,
  });
  for (const ofUefi of [{ nvram: 'reset' }, { secureBootKeys: 'none' }]) {
    assert.throws(() => withPreset(parsed({ os: 'windows', firmware: ofUefi }), before), {
      reason: 'INVALID_SPEC',
      message: /firmware\.\w+ needs the firmware type uefi/,
    });
  }
});

test('firmware of a VM of no Windows is BIOS unless it says otherwise', () => {
  const { firmware } = filledPlain({ smbios: { sku: 'k' } });
  assert.deepEqual(firmware, { type: 'bios', smbios: { sku: 'k' } });
  assert.throws(() => parsed({ firmware: { nvram: 'reset' } }), /needs the firmware type uefi/);
  const pc = { os: 'windows', machineType: 'pc', firmware: { nvram: 'reset' } };
  assert.throws(() => parsed(pc), /needs the firmware type uefi/);
});

function filledPlain(firmware: object): Machine {
  return withPreset(parsed({ firmware })).wanted.spec.template.spec;
}
