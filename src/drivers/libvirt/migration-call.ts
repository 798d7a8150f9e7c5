import type { HypervisorMigration } from '../hypervisor.ts';
import { DomainDocument } from './domain-xml/domain-document.ts';
import type { MigratableXml, MigrationCall } from './job-operations.ts';

const MIB = 1024 * 1024;

/**
 * The destination gets the domain as it is with nothing but its definition replaced: libvirt refuses other changes of
 * what the guest sees, and the raised ownership epoch comes into force in the same act as the VM.
 */
export function toMigrationCall(xml: MigratableXml, request: HypervisorMigration): MigrationCall {
  const withDefinition = (source: string): string =>
    DomainDocument.parse(source).withDefinition(request.destinationDefinition).toString();
  const { bandwidthBytesPerSecond: bandwidth } = request;
  return {
    destinationUri: `qemu+unix:///system?socket=${encodeURIComponent(request.destinationSocket)}`,
    memoryUri: `unix://${request.memorySocket}`,
    destinationXml: withDefinition(xml.live),
    persistentXml: withDefinition(xml.persistent),
    maxDowntimeMs: request.maxDowntimeMs,
    bandwidthMibPerSecond:
      bandwidth === undefined ? undefined : Math.max(1, Math.round(bandwidth / MIB)),
  };
}
