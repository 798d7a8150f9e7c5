import type { Accelerator, FileOwner, HypervisorInfo } from '../hypervisor-host.ts';
import { parseXml, type XmlElement } from './domain-xml/xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from './domain-xml/xml-query.ts';
import type { HostRecord } from './host-operations.ts';

const ACCELERATOR_OF_DOMAIN_TYPE: Readonly<Record<string, Accelerator>> = {
  kvm: 'kvm',
  qemu: 'tcg',
};

/** What libvirt itself tells of a host. To read it takes milliseconds. */
export function toHypervisorInfo(record: HostRecord): Omit<HypervisorInfo, 'incomingSocket'> {
  const capabilities = parseXml(record.capabilitiesXml);
  const host = findElement(capabilities, 'host');
  const cpu = findElement(host, 'cpu');
  const architecture = textOf(findElement(cpu, 'arch')) ?? '';
  const guest = childrenOf(capabilities, 'guest')
    .map((element) => findElement(element, 'arch'))
    .find((element) => attributeOf(element, 'name') === architecture);
  return {
    hostname: record.hostname,
    hostUuid: textOf(findElement(host, 'uuid')) ?? '',
    uri: record.uri,
    libvirtVersion: formatVersion(record.daemonVersion),
    libraryVersion: formatVersion(record.libraryVersion),
    qemuVersion: formatVersion(record.hypervisorVersion),
    architecture,
    accelerators: childrenOf(guest, 'domain')
      .map((element) => ACCELERATOR_OF_DOMAIN_TYPE[attributeOf(element, 'type') ?? ''])
      .filter((accelerator) => accelerator !== undefined),
    machineTypes: childrenOf(guest, 'machine').map((element) => textOf(element) ?? ''),
    cpuModel: textOf(findElement(cpu, 'model')) ?? '',
    processOwner: readProcessOwner(host),
    features: record.features,
  };
}

/** The DAC security model's label is what libvirt runs QEMU as: "+64055:+107", numbers even where names are configured. */
function readProcessOwner(host: XmlElement | undefined): FileOwner | undefined {
  const dac = childrenOf(host, 'secmodel').find(
    (model) => textOf(findElement(model, 'model')) === 'dac',
  );
  const label = /^\+?(\d+):\+?(\d+)$/.exec(textOf(findElement(dac, 'baselabel')) ?? '');
  return label === null ? undefined : { uid: Number(label[1]), gid: Number(label[2]) };
}

/** libvirt writes 9.0.1 as 9000001. */
export function formatVersion(version: number): string {
  const major = Math.trunc(version / 1_000_000);
  const minor = Math.trunc(version / 1000) % 1000;
  return `${major}.${minor}.${version % 1000}`;
}

/** QEMU before 9.0 loses pages of a busy guest under TCG when its RAM has a round size. */
export function losesDirtyPagesUnderTcg(qemuVersion: number): boolean {
  return qemuVersion < 9_000_000;
}
