import { hasSeed } from './has-seed.ts';
import type { Machine } from './machine.ts';
import type { WantedVm } from './parse-virtual-machine.ts';
import { isI440fx } from './virtual-machine-rules.ts';
import { busOf, type Volume } from './volume.ts';

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
 */
export function withPreset(wanted: WantedVm, before?: Machine): PresetVm {
  const given = wanted.spec.template.spec;
  if (given.os !== 'windows') return { wanted, set: [] };
  const set: PresetField[] = [];
  const hardware = before === undefined ? ofNew(given, set) : ofPresent(given, before, set);
  const machine = { ...hardware, ...board(hardware, before, set) };
  const { spec } = wanted;
  const template = { ...spec.template, spec: machine };
  return { wanted: { ...wanted, spec: { ...spec, template } }, set };
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
  if (given.firmware === undefined && !isI440fx(given)) {
    set.push({ field: 'firmware', value: 'uefi with Secure Boot and a TPM 2.0' });
    changes.firmware = { type: 'uefi', secureBoot: true, tpm: { version: '2.0' } };
  }
  return { ...given, ...changes, ...devices(given, [], [], set) };
}

function ofPresent(given: Machine, before: Machine, set: PresetField[]): Machine {
  const machineType = given.machineType ?? before.machineType;
  const firmware = given.firmware ?? before.firmware;
  return {
    ...given,
    ...(machineType !== undefined && { machineType }),
    ...(firmware !== undefined && { firmware }),
    ...devices(given, before.volumes ?? [], before.networks ?? [], set),
  };
}

/** Each as it has been until now, if it has been there; else as Windows can use it without another driver. */
function devices(
  given: Machine,
  oldVolumes: readonly Volume[],
  oldNetworks: NonNullable<Machine['networks']>,
  set: PresetField[],
): Partial<Machine> {
  const { volumes, networks } = given;
  let places =
    SATA_PLACES -
    (volumes ?? []).filter((volume) => busOf(volume) === 'sata').length -
    (hasSeed(given) ? 1 : 0);
  const withBus = volumes?.map((volume, index): Volume => {
    if (volume.bus !== undefined || volume.kind === 'cdrom') return volume;
    const old = oldVolumes.find(({ name, kind }) => name === volume.name && kind === 'disk');
    if (old !== undefined) return old.bus === undefined ? volume : { ...volume, bus: old.bus };
    // A disk there can neither be read-only nor have the name of another bus.
    if (places < 1 || volume.readOnly === true || volume.target !== undefined) return volume;
    places -= 1;
    set.push({ field: `volumes[${index}].bus`, value: 'sata' });
    return { ...volume, bus: 'sata' };
  });
  const withModel = networks?.map((network, index) => {
    if (network.model !== undefined) return network;
    const old = oldNetworks.find(({ name }) => name === network.name);
    if (old !== undefined)
      return old.model === undefined ? network : { ...network, model: old.model };
    if (network.queues !== undefined) return network;
    set.push({ field: `networks[${index}].model`, value: 'e1000e' });
    return { ...network, model: 'e1000e' as const };
  });
  return {
    ...(withBus !== undefined && { volumes: withBus }),
    ...(withModel !== undefined && { networks: withModel }),
  };
}

/** What was filled in, in a sentence; empty if nothing was. */
export function presetNotes({ set }: Pick<PresetVm, 'set'>): readonly string[] {
  if (set.length === 0) return [];
  const fields = set.map(({ field, value }) => `${field} ${value}`).join(', ');
  return [`spec.template.spec.os windows sets what the manifest leaves open: ${fields}`];
}
