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
