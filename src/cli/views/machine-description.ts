import { busOf, pathOf, type Volume } from '../../core/resources/volume.ts';
import { volumesOf } from '../../core/resources/volumes-of.ts';
import { formatTable } from '../output/table.ts';
import type { Fact } from './description-text.ts';
import type { VmDocument } from './vm-view.ts';

type Given = NonNullable<VmDocument['status']>['given'];

/** What it may have while it runs. */
function upTo(max: number | string | undefined): string {
  return max === undefined ? '' : `, up to ${max} while it runs`;
}

/** Only where its guest does not use what it has. */
function cpusGiven(given: Given): string {
  if (given?.cpusOnline === undefined) return '';
  return ` (${given.cpus} given, ${given.cpusOnline} online)`;
}

/** Only where its guest has not what it was given. */
function memoryGiven(given: Given): string {
  const { memory = '', memoryActual = '' } = given ?? {};
  if (memoryActual === '' || memoryActual === memory) return '';
  return ` (${memory} given, ${memoryActual} in the guest)`;
}

/** What a VM is made of, in short; nothing of one whose spec nobody could read. */
export function machineFacts({ spec, status }: VmDocument): readonly Fact[] {
  const machine = spec?.template.spec;
  if (machine === undefined) return [];
  const { resources, cpu, memory, firmware, kernel, display, cloudInit, userData, clock } = machine;
  const { watchdog, vsock, hyperv } = machine;
  const { topology } = cpu ?? {};
  const arranged =
    topology === undefined
      ? ''
      : ` (${topology.sockets} sockets, ${topology.cores} cores, ${topology.threads} threads)`;
  return [
    ['CPU', `${resources.cpu}${upTo(cpu?.max)}${arranged}${cpusGiven(status?.given)}`],
    ['CPU model', cpu?.model],
    ['CPUs of its own', cpu?.dedicated === true ? 'yes' : undefined],
    ['CPU features', cpu?.features?.join(', ')],
    [
      'Memory',
      `${resources.memory}${upTo(memory?.max)}${memory?.hugepages === undefined ? '' : ` in pages of ${memory.hugepages}`}${memoryGiven(status?.given)}`,
    ],
    ['Guest system', machine.os],
    ['Machine type', status?.machineType ?? machine.machineType],
    ['Accelerator', status?.accelerator],
    ['Firmware', firmwareText(firmware)],
    ['Kernel', kernel?.path],
    ['Display', display && (display.type === 'none' ? 'none' : `VNC, ${display.video ?? 'vga'}`)],
    ['Clock', clock?.offset],
    ['Watchdog', watchdog && `${watchdog.model}, ${watchdog.action}`],
    ['Vsock', vsock && (vsock.cid ?? 'yes')],
    ['Hyper-V', hyperv && hypervText(hyperv)],
    ['SMBIOS', firmware?.smbios && Object.values(firmware.smbios).join(', ')],
    ...(status?.volumes ?? []).map(
      ({ name = '', imageSource, imageDigest = '' }): Fact => [
        `Image of ${name}`,
        imageSource && `${imageSource} (${imageDigest})`,
      ],
    ),
    ['User data', userData],
    ['Host name', cloudInit?.hostname],
    ['Instance ID', cloudInit?.instanceId],
  ];
}

type Machine = NonNullable<VmDocument['spec']>['template']['spec'];

function firmwareText(firmware: Machine['firmware']): string {
  const { type = 'bios', secureBoot, tpm } = firmware ?? {};
  const parts = [
    type.toUpperCase(),
    secureBoot === true ? 'Secure Boot' : '',
    tpm ? `TPM ${tpm.version}` : '',
  ];
  return parts.filter((part) => part !== '').join(', ');
}

function hypervText({ enabled, features }: NonNullable<Machine['hyperv']>): string {
  if (!enabled) return 'none';
  return features === undefined ? 'usual enlightenments' : features.join(', ');
}

/** Its disks and drives, as the hypervisor has them and as the spec wants them. */
export function volumesTable({ spec, status }: VmDocument): string {
  const wanted = spec === undefined ? [] : volumesOf(spec.template.spec);
  const found = status?.volumes ?? [];
  const names = new Set([...wanted, ...found].map(({ name }) => name ?? ''));
  const rows = [...names].map((name) => {
    const volume = wanted.find((one) => one.name === name);
    const real = found.find((one) => one.name === name);
    const isDrive = volume?.kind === 'cdrom';
    const path = real === undefined ? volume && pathOf(volume) : real.path;
    return [
      name,
      isDrive ? 'cdrom' : 'disk',
      real?.target ?? volume?.target ?? '',
      volume === undefined ? '' : busOf(volume),
      isDrive && !path ? '' : formatWord(real?.format ?? volume?.format ?? '', volume),
      real?.virtualSize ?? real?.size ?? volume?.size ?? '',
      real?.allocated ?? '',
      volume?.shared === true ? 'yes' : 'no',
      path || (isDrive ? (real?.ejected === true ? '(ejected by the guest)' : '(empty)') : ''),
    ];
  });
  const headers = ['NAME', 'KIND', 'TARGET', 'BUS', 'FORMAT', 'SIZE', 'TAKES', 'SHARED', 'PATH'];
  return rows.length === 0 ? '' : formatTable(headers, rows);
}

function formatWord(format: string, volume: Volume | undefined): string {
  return volume?.encryption === undefined ? format : `${format} (LUKS)`.trimStart();
}
