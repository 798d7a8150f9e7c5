import { AgentError } from '../../core/errors.ts';
import type { HypervisorMigration } from '../hypervisor-jobs.ts';
import { DomainDocument } from './domain-xml/domain-document.ts';
import type { MigratableXml, MigrationCall } from './job-operations.ts';

const MIB = 1024 * 1024;

/**
 * The destination gets the domain as it is with nothing but our facts replaced, which CPUs of this host it is held to, and the place of UEFI's variables, which
 * come with the VM: libvirt refuses other changes of what the guest sees, and the raised ownership epoch comes into force in the
 * same act as the VM. Fails with FEATURE_NOT_SUPPORTED for what cannot be done yet.
 */
export function toMigrationCall(
  xml: MigratableXml,
  request: HypervisorMigration,
  {
    nvramPath,
  }: {
    /** Where the destination keeps UEFI's variables. */
    readonly nvramPath: string;
  },
): MigrationCall {
  const { transport, mode, copiedVolumes, destinationFacts } = request;
  if (transport.kind !== 'stream') {
    throw notSupported(`the transport ${transport.kind} is not there yet; use stream`);
  }
  if (mode !== 'precopy') throw notSupported('post-copy is not there yet; use pre-copy');
  if (copiedVolumes.length > 0) {
    throw notSupported(`volumes cannot be copied yet, and ${copiedVolumes.join(', ')} would be`);
  }
  const forDestination = (source: string): string =>
    DomainDocument.parse(source)
      .withFacts(destinationFacts)
      .withNvramPath(nvramPath)
      .withoutPlacement()
      .toString();
  const { bandwidthBytesPerSecond: bandwidth } = request;
  return {
    destinationUri: `qemu+unix:///system?socket=${encodeURIComponent(transport.destinationSocket)}`,
    memoryUri: `unix://${transport.memorySocket}`,
    destinationXml: forDestination(xml.live),
    persistentXml: forDestination(xml.persistent),
    disksAreShared: request.disks.some(({ readOnly, images }) => !readOnly && images.length > 0),
    maxDowntimeMs: request.maxDowntimeMs,
    bandwidthMibPerSecond:
      bandwidth === undefined ? undefined : Math.max(1, Math.round(bandwidth / MIB)),
  };
}

function notSupported(why: string): AgentError {
  return new AgentError('FEATURE_NOT_SUPPORTED', `Cannot migrate: ${why}`);
}
