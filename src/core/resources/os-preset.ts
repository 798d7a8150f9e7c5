import { hasSeed } from './has-seed.ts';
import type { Machine } from './machine.ts';
import { parseVirtualMachine, type WantedVm } from './parse-virtual-machine.ts';
import { isI440fx } from './virtual-machine-rules.ts';
import { busOf, type Volume } from './volume.ts';
import { ROOT_VOLUME, volumesOf } from './volumes-of.ts';

type Firmware = NonNullable<Machine['firmware']>;

/** A SATA controller has six places. */
const SATA_PLACES = 6;

/** A VM with what its guest's system needs, and what of that its manifest has left open. */
export interface PresetVm {
  readonly wanted: WantedVm;
  /** Fields that the preset has filled in, below `spec.template.spec`, with what they say, for people. */
  readonly set: readonly PresetField[];
}

interface PresetField {
  readonly field: string;
  readonly value: string;
}

/**
 * Fills in what a VM with `os: windows` needs and its manifest leaves open. `before` is the machine of one that is there: the hardware
 * that its guest was installed on stays as it is, be it from before it was said to be Windows. Doing so again changes nothing.
 * Fails with INVALID_SPEC where what the manifest gives does not go with that.
 */
export function withPreset(wanted: WantedVm, before?: Machine): PresetVm {
  const given = wanted.spec.template.spec;
  if (given.os !== 'windows') {
    const machine = withFirmwareType(given);
    return { wanted: machine === given ? wanted : withMachine(wanted, machine), set: [] };
  }
  const set: PresetField[] = [];
  const hardware = before === undefined ? ofNew(given, set) : ofPresent(given, before, set);
  const machine = withFirmwareType({ ...hardware, ...board(hardware, before, set) });
  return { wanted: parseVirtualMachine(withMachine(wanted, machine)), set };
}

function withMachine(wanted: WantedVm, machine: Machine): WantedVm {
  const { spec } = wanted;
  return { ...wanted, spec: { ...spec, template: { ...spec.template, spec: machine } } };
}

/** Only here is it known that nobody has another type in mind. */
function withFirmwareType(machine: Machine): Machine {
  const { firmware } = machine;
  if (firmware === undefined || firmware.type !== undefined) return machine;
  return { ...machine, firmware: { type: 'bios', ...firmware } };
}

/** What changes no hardware that a guest was installed on. */
function board(
  machine: Machine,
  before: Machine | undefined,
  set: PresetField[],
): Partial<Machine> {
  const { clock, hyperv, display, cloudInit } = machine;
  const changes: Partial<Machine> = {};
  const fill = (field: string, value: string, change: Partial<Machine>): void => {
    set.push({ field, value });
    Object.assign(changes, change);
  };
  if (clock?.offset === undefined) {
    fill('clock.offset', 'localtime', { clock: { ...clock, offset: 'localtime' } });
  }
  if (hyperv === undefined) fill('hyperv', 'enabled', { hyperv: { enabled: true } });
  if (display === undefined) {
    fill('display', 'vnc with a tablet', { display: { type: 'vnc', tablet: true } });
  }
  const isOpen = cloudInit?.dataSource === undefined && hasSeed(machine);
  if (isOpen && before !== undefined && hasSeed(before)) {
    // The guest knows it by that.
    const { dataSource } = before.cloudInit ?? {};
    if (dataSource !== undefined) changes.cloudInit = { ...cloudInit, dataSource };
  } else if (isOpen && cloudInit?.networkConfig === undefined) {
    // cloudbase-init reads that one; it has no place for networks.
    fill('cloudInit.dataSource', 'configdrive', {
      cloudInit: { ...cloudInit, dataSource: 'configdrive' },
    });
  }
  return changes;
}

/** Windows 11 asks for UEFI, Secure Boot and a TPM, and no Windows brings drivers for virtio. */
function ofNew(given: Machine, set: PresetField[]): Machine {
  const changes: Partial<Machine> = {};
  if (given.machineType === undefined) {
    set.push({ field: 'machineType', value: 'q35' });
    changes.machineType = 'q35';
  }
  if (!isI440fx(given) && given.firmware?.type !== 'bios') {
    changes.firmware = firmwareOfNew(given.firmware, set);
  }
  return { ...given, ...changes, ...devices(given, undefined, set) };
}

function firmwareOfNew(given: Firmware | undefined, set: PresetField[]): Firmware {
  const needed = { type: 'uefi', secureBoot: true, tpm: { version: '2.0' } } as const;
  if (given === undefined) {
    set.push({ field: 'firmware', value: 'uefi with Secure Boot and a TPM 2.0' });
    return needed;
  }
  const words = { type: 'uefi', secureBoot: 'true', tpm: '2.0' };
  for (const field of ['type', 'secureBoot', 'tpm'] as const) {
    if (given[field] === undefined) set.push({ field: `firmware.${field}`, value: words[field] });
  }
  return { ...needed, ...given };
}

/** What the guest has booted with, but for what is given. */
function firmwareOfPresent(given: Firmware, before: Firmware = {}): Firmware {
  const type = given.type ?? before.type ?? 'bios';
  const { secureBoot, secureBootKeys } = before;
  const keeps = type === 'uefi' && given.secureBoot === undefined;
  const tpm = given.tpm ?? before.tpm;
  return {
    ...(keeps && secureBoot !== undefined && { secureBoot }),
    ...(keeps && secureBootKeys !== undefined && { secureBootKeys }),
    ...given,
    type,
    ...(tpm && { tpm }),
  };
}

function ofPresent(given: Machine, before: Machine, set: PresetField[]): Machine {
  const machineType = given.machineType ?? before.machineType;
  const firmware = given.firmware
    ? firmwareOfPresent(given.firmware, before.firmware)
    : before.firmware;
  return {
    ...given,
    ...(machineType !== undefined && { machineType }),
    ...(firmware !== undefined && { firmware }),
    ...devices(given, before, set),
  };
}

/** Each as it has been until now, if it has been there; else as Windows can use it without another driver. */
function devices(
  given: Machine,
  before: Machine | undefined,
  set: PresetField[],
): Partial<Machine> {
  const volumes = volumesFor(given, before, set);
  const networks = networksFor(given, before?.networks ?? [], set);
  return { ...(volumes && { volumes }), ...(networks && { networks }) };
}

function volumesFor(
  given: Machine,
  before: Machine | undefined,
  set: PresetField[],
): Machine['volumes'] {
  const old = before === undefined ? [] : volumesOf(before);
  const own = given.volumes ?? [];
  // That of resources.disk or image may be named to have a bus.
  const isUnnamed =
    (given.resources.disk ?? given.image) !== undefined &&
    !own.some(({ name }) => name === ROOT_VOLUME);
  const root = { name: ROOT_VOLUME, kind: 'disk', cache: 'none' } as const;
  const all: readonly Volume[] = isUnnamed ? [root, ...own] : own;
  let places =
    SATA_PLACES -
    all.filter((volume) => busOf(volume) === 'sata').length -
    (hasSeed(given) ? 1 : 0);
  const withBus = all.map((volume, index): Volume => {
    const { name, kind, bus, readOnly, target } = volume;
    if (bus !== undefined || kind === 'cdrom') return volume;
    const present = old.find((one) => one.name === name && one.kind === 'disk');
    if (present !== undefined) return withKept(volume, 'bus', present.bus);
    // A disk there can neither be read-only nor have the name of another bus.
    if (places < 1 || readOnly === true || target !== undefined) return volume;
    places -= 1;
    set.push({ field: `volumes[${index}].bus`, value: 'sata' });
    return { ...volume, bus: 'sata' };
  });
  if (isUnnamed && withBus[0]?.bus === undefined) withBus.shift();
  return given.volumes === undefined && withBus.length === 0 ? undefined : withBus;
}

function networksFor(
  { networks }: Machine,
  old: NonNullable<Machine['networks']>,
  set: PresetField[],
): Machine['networks'] {
  return networks?.map((network, index) => {
    const { name, model, queues } = network;
    if (model !== undefined) return network;
    const present = old.find((one) => one.name === name);
    if (present !== undefined) return withKept(network, 'model', present.model);
    if (queues !== undefined) return network;
    set.push({ field: `networks[${index}].model`, value: 'e1000e' });
    return { ...network, model: 'e1000e' as const };
  });
}

function withKept<T extends object, K extends keyof T>(of: T, key: K, value: T[K]): T {
  return value === undefined ? of : { ...of, [key]: value };
}

/** Fields that a preset may have filled in. */
const PRESET_FIELDS =
  /^spec\.template\.spec\.(firmware|volumes|networks|clock|hyperv|display|cloudInit)\b/;

/** What goes with a preset that is taken out of the manifest, in a sentence; empty if nothing does. `changes` are those of the VM. */
export function lostPresetNotes(
  before: Machine,
  after: Machine,
  changes: readonly { readonly field: string }[],
): readonly string[] {
  if (before.os !== 'windows' || after.os === 'windows') return [];
  const fields = changes.map(({ field }) => field).filter((field) => PRESET_FIELDS.test(field));
  if (fields.length === 0) return [];
  return [
    `Without spec.template.spec.os windows what that has filled in goes as well, and a guest may not start on other hardware than it was installed on: ${fields.join(', ')} change; name what shall stay (novactl vm get -o yaml shows it)`,
  ];
}

/** What was filled in, in a sentence; empty if nothing was. */
export function presetNotes({ set }: Pick<PresetVm, 'set'>): readonly string[] {
  if (set.length === 0) return [];
  const fields = set.map(({ field, value }) => `${field} ${value}`).join(', ');
  return [`spec.template.spec.os windows sets what the manifest leaves open: ${fields}`];
}
