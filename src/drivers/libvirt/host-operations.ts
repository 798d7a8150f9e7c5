import type { HypervisorFeature } from '../hypervisor-host.ts';
import type { Connection } from './connection.ts';
import { OPTIONAL_SYMBOLS, type Out } from './native.ts';

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
export function probe(connection: Connection): void {
  connection.check(connection.libvirt.getLibraryVersion(connection.pointer, [null]));
}

export function readHost(connection: Connection): HostRecord {
  const { libvirt, pointer } = connection;
  const read = (call: (version: Out<number>) => number): number => {
    const version: Out<number> = [null];
    connection.check(call(version));
    return version[0] ?? 0;
  };
  return {
    hostname: connection.checkPointer(libvirt.getHostname(pointer)),
    uri: connection.checkPointer(libvirt.getUri(pointer)),
    capabilitiesXml: connection.checkPointer(libvirt.getCapabilities(pointer)),
    libraryVersion: read((version) => libvirt.getVersion(version, null, null)),
    daemonVersion: read((version) => libvirt.getLibraryVersion(pointer, version)),
    hypervisorVersion: read((version) => libvirt.getHypervisorVersion(pointer, version)),
    features: Object.keys(OPTIONAL_SYMBOLS).map((name) => {
      const detail = libvirt.missing.get(name) ?? '';
      return { name, available: detail === '', detail };
    }),
  };
}

/** What QEMU's version is; asked before a domain is built. */
export function readHypervisorVersion(connection: Connection): number {
  const version: Out<number> = [null];
  connection.check(connection.libvirt.getHypervisorVersion(connection.pointer, version));
  return version[0] ?? 0;
}
