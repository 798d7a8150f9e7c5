import type { CpuModelProblem, HypervisorFeature } from '../hypervisor-host.ts';
import type { Out } from './c-call.ts';
import type { Connection } from './connection.ts';
import {
  isIncompatibleCpu,
  isUnknownCpuFeature,
  isUnknownCpuModel,
  LibvirtError,
  lackingFeatures,
} from './errors.ts';
import { COMPARE_CPU_FAIL_INCOMPATIBLE } from './libvirt-constants.ts';
import { OPTIONAL_SYMBOLS } from './native.ts';

export interface HostRecord {
  readonly hostname: string;
  readonly uri: string;
  readonly capabilitiesXml: string;
  readonly libraryVersion: number;
  readonly daemonVersion: number;
  readonly hypervisorVersion: number;
  readonly features: readonly HypervisorFeature[];
}

/** Asks libvirtd the cheapest question there is. */
export async function probe(connection: Connection): Promise<void> {
  await connection.check(connection.libvirt.getLibraryVersion(connection.pointer, [null]));
}

export async function readHost(connection: Connection): Promise<HostRecord> {
  const { libvirt, pointer } = connection;
  const read = async (call: (version: Out<number>) => Promise<number>): Promise<number> => {
    const version: Out<number> = [null];
    await connection.check(call(version));
    return version[0] ?? 0;
  };
  return {
    hostname: await connection.checkPointer(libvirt.getHostname(pointer)),
    uri: await connection.checkPointer(libvirt.getUri(pointer)),
    capabilitiesXml: await connection.checkPointer(libvirt.getCapabilities(pointer)),
    libraryVersion: await read(async (version) => libvirt.getVersion(version, null, null)),
    daemonVersion: await read((version) => libvirt.getLibraryVersion(pointer, version)),
    hypervisorVersion: await read((version) => libvirt.getHypervisorVersion(pointer, version)),
    features: Object.keys(OPTIONAL_SYMBOLS).map((name) => {
      const detail = libvirt.missing.get(name) ?? '';
      return { name, available: detail === '', detail };
    }),
  };
}

/**
 * Why QEMU on this host cannot give a guest a CPU, with the features that it lacks; empty if it can, or if libvirt cannot tell. `xml`
 * is the CPU of a running domain.
 */
export async function compareCpu(
  connection: Connection,
  virtType: 'kvm' | 'qemu',
  xml: string,
): Promise<string> {
  const error = await compare(connection, virtType, xml);
  return isIncompatibleCpu(error) ? (error as Error).message : '';
}

/**
 * Why it cannot give a guest a CPU of a model with the features that are `required` of it. What QEMU emulates, it may leave out others
 * of, and it would leave out these as well, without a word.
 */
export async function compareModel(
  connection: Connection,
  virtType: 'kvm' | 'qemu',
  xml: string,
  required: readonly string[],
): Promise<CpuModelProblem | undefined> {
  const error = await compare(connection, virtType, xml);
  if (isUnknownCpuModel(error)) return problem('model', error);
  if (isUnknownCpuFeature(error)) return problem('features', error);
  if (!isIncompatibleCpu(error)) return undefined;
  const lacking = lackingFeatures(error);
  const [asked, others] = [true, false].map((isAsked) =>
    lacking.filter((feature) => required.includes(feature) === isAsked),
  );
  // Without the features it would be in the way all the same.
  if (virtType === 'kvm' && (others?.length !== 0 || asked?.length === 0)) {
    return problem('model', error);
  }
  if (asked === undefined || asked.length === 0) return undefined;
  return { part: 'features', description: `QEMU lacks ${asked.join(', ')} here` };
}

function problem(part: CpuModelProblem['part'], error: unknown): CpuModelProblem {
  return { part, description: (error as Error).message };
}

/** What libvirt says against a CPU; undefined for nothing. */
async function compare(
  connection: Connection,
  virtType: 'kvm' | 'qemu',
  xml: string,
): Promise<unknown> {
  const { libvirt, pointer } = connection;
  const flags = COMPARE_CPU_FAIL_INCOMPATIBLE;
  try {
    await connection.check(
      libvirt.compareHypervisorCpu(pointer, null, 'x86_64', null, virtType, xml, flags),
    );
    return undefined;
  } catch (error) {
    if (connection.isAlive) return error;
    throw error;
  }
}

/** What libvirt can give a domain of the kind that most are, as XML; empty if it cannot tell. */
export async function readDomainCapabilities({
  libvirt,
  pointer,
  isAlive,
}: Connection): Promise<string> {
  const xml = await libvirt.getDomainCapabilities(pointer, null, 'x86_64', 'q35', null, 0);
  if (xml === null && !isAlive) throw new LibvirtError(0, 'the connection was lost');
  return xml ?? '';
}

/** What QEMU's version is; asked before a domain is built. */
export async function readHypervisorVersion(connection: Connection): Promise<number> {
  const version: Out<number> = [null];
  await connection.check(connection.libvirt.getHypervisorVersion(connection.pointer, version));
  return version[0] ?? 0;
}
