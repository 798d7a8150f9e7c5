import { DISK_KEYS_FILE } from '../../core/disk-keys.ts';
import { AgentError } from '../../core/errors.ts';
import { hasSeed } from '../../core/resources/has-seed.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';

/** Versions of the peer protocol that this agent speaks: the newest and the one before. */
export const PEER_PROTOCOL_MIN = 1;
export const PEER_PROTOCOL_MAX = 1;

/** Services of a transfer, by the names that both agents use. */
export const LIBVIRT_SERVICE = 'libvirt';
export const MEMORY_SERVICE = 'ram';

/** The identity that a node's certificate carries (a SPIFFE ID, https://spiffe.io/docs/latest/spiffe-about/spiffe-concepts/). */
export function nodeIdentity(nodeName: string): string {
  return `spiffe://novacron/node/${nodeName}`;
}

/**
 * What of the peer protocol this agent understands beside its version. A request may require some of it, and is refused by
 * an agent that does not know it; see proto/novacron/peer/v1.
 */
export const PEER_FEATURES = [
  'private-files',
  'cloud-init',
  'made-disks',
  'ejected-media',
  'disk-keys',
] as const;

/** What the destination of a VM must understand. `live`: what it runs with, if that is another. */
export function requiredFeaturesOf(
  { privateFiles, madeDisks, ejected, spec }: VmDefinition,
  live: VmDefinition | undefined,
): readonly string[] {
  const hasFiles = Object.keys(privateFiles).length > 0;
  const hasDisk = [spec, live?.spec].some((one) => one !== undefined && hasSeed(one.template.spec));
  return [
    ...(hasFiles ? ['private-files'] : []),
    // It makes the disk there.
    ...(hasDisk ? ['cloud-init'] : []),
    ...(Object.keys(madeDisks).length > 0 ? ['made-disks'] : []),
    // It gives them to its hypervisor before the VM comes.
    ...(privateFiles[DISK_KEYS_FILE] === undefined ? [] : ['disk-keys']),
    // An agent without it would put them in again at the next start.
    ...(Object.keys(ejected ?? {}).length > 0 ? ['ejected-media'] : []),
  ];
}

/** Fails with PEER_INCOMPATIBLE if something is required that this agent does not know. */
export function assertFeatures(required: readonly string[]): void {
  const known: readonly string[] = PEER_FEATURES;
  const unknown = required.filter((feature) => !known.includes(feature));
  if (unknown.length === 0) return;
  throw new AgentError(
    'PEER_INCOMPATIBLE',
    `This agent does not know ${unknown.join(', ')}, which the other one requires; upgrade this one`,
    { metadata: { features: unknown.join(',') } },
  );
}
