import { AgentError } from '../../core/errors.ts';

/** Versions of the peer protocol that this agent speaks: the newest and the one before. */
export const PEER_PROTOCOL_MIN = 1;
export const PEER_PROTOCOL_MAX = 1;

/** What this agent understands of what a peer may require; proto/novacron/peer/v1/peer.proto has the rules. */
export const PEER_FEATURES: readonly string[] = [
  // Files of the agent come with a VM, and are kept beside it.
  'private-files',
];

/** Fails with PEER_INCOMPATIBLE, naming what a peer requires and this agent does not understand. */
export function refuseUnknownFeatures(required: readonly string[]): void {
  const unknown = required.filter((feature) => !PEER_FEATURES.includes(feature));
  if (unknown.length === 0) return;
  const names = unknown.map((feature) => JSON.stringify(feature)).join(', ');
  throw new AgentError(
    'PEER_INCOMPATIBLE',
    `Cannot go on: the other agent requires ${names}, which this one does not understand; upgrade this one`,
    { metadata: { features: unknown.join(',') } },
  );
}

/** Services of a transfer, by the names that both agents use. */
export const LIBVIRT_SERVICE = 'libvirt';
export const MEMORY_SERVICE = 'ram';

/** The identity that a node's certificate carries (a SPIFFE ID, https://spiffe.io/docs/latest/spiffe-about/spiffe-concepts/). */
export function nodeIdentity(nodeName: string): string {
  return `spiffe://novacron/node/${nodeName}`;
}
