import type { X509Certificate } from 'node:crypto';
import { AgentError } from '../../core/errors.ts';
import { parseSubjectAltNames } from './subject-alt-names.ts';

export type Role = 'controller' | 'peer' | 'operator' | 'viewer';

/** Who makes a call. */
export interface Caller {
  readonly role: Role;
  /** The certificate's URI, or `unix:root` for the node's own socket. */
  readonly identity: string;
  /** The node that a peer's certificate names; empty for other roles. */
  readonly nodeName: string;
  /** When the certificate expires; connections outlive certificates, calls and streams must not. */
  readonly expiresAtMs: number;
}

/** The socket's mode lets only root connect, who may do anything on this node anyway. */
export const LOCAL_CALLER: Caller = {
  role: 'operator',
  identity: 'unix:root',
  nodeName: '',
  expiresAtMs: Number.POSITIVE_INFINITY,
};

const OURS = /^spiffe:\/\/novacron(?:[/?#:]|$)/i;
const NODE = /^spiffe:\/\/novacron\/node\/([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)$/;
const ROLE = /^spiffe:\/\/novacron\/role\/(controller|operator|viewer)$/;

/**
 * Reads the caller from a certificate that has already been verified against the CA. Exactly one URI of
 * ours must be in it, and it must be one that we know; fails with UNAUTHENTICATED otherwise.
 */
export function identifyCertificate(certificate: X509Certificate): Caller {
  const names = parseSubjectAltNames(certificate.subjectAltName ?? '');
  if (names === undefined) {
    throw unauthenticated('its subject alternative names cannot be read');
  }
  const ours = names.filter(({ type, value }) => type === 'URI' && OURS.test(value));
  const [uri] = ours;
  if (uri === undefined) throw unauthenticated('it has no URI spiffe://novacron/…');
  if (ours.length > 1) throw unauthenticated('it has more than one URI spiffe://novacron/…');

  const expiresAtMs = certificate.validToDate.getTime();
  const nodeName = NODE.exec(uri.value)?.[1];
  if (nodeName !== undefined) return { role: 'peer', identity: uri.value, nodeName, expiresAtMs };
  const role = ROLE.exec(uri.value)?.[1] as Role | undefined;
  if (role !== undefined) return { role, identity: uri.value, nodeName: '', expiresAtMs };
  throw unauthenticated('its URI names neither a node nor a role');
}

function unauthenticated(why: string): AgentError {
  return new AgentError('UNAUTHENTICATED', `The client certificate gives no identity: ${why}`);
}
