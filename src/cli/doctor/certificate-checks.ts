import { createPrivateKey, X509Certificate } from 'node:crypto';
import path from 'node:path';
import type { AgentSettings } from './agent-settings.ts';
import { type Finding, failure, ok, skipped, warning } from './check.ts';
import type { Host } from './host.ts';

const WARN_DAYS = 30;
const DAY_MS = 86_400_000;

export async function checkCertificate(
  host: Host,
  { advertise, tls, nodeName }: AgentSettings,
  nowMs: number,
): Promise<Finding> {
  if (advertise === undefined) return skipped('The node is alone and needs none');
  const [certificate, key, ca] = await Promise.all(
    [tls.certificate, tls.key, tls.ca].map((file) => host.findText(file)),
  );
  for (const [file, text] of [
    [tls.certificate, certificate],
    [tls.key, key],
    [tls.ca, ca],
  ] as const) {
    if (text === undefined) {
      return failure(
        `${file} does not exist`,
        `Issue it: novactl pki issue node ${nodeName} --out ${path.dirname(file)} (docs/install.md); or correct tls`,
      );
    }
  }
  return judgeCertificate({ certificate, key, ca, nodeName, nowMs });
}

/** Judges PEM texts: do they belong together, are they valid now, do they name the node? */
export function judgeCertificate(given: {
  readonly certificate: string | undefined;
  readonly key: string | undefined;
  readonly ca: string | undefined;
  readonly nodeName: string;
  readonly nowMs: number;
}): Finding {
  const again = `Issue it again, where the CA is: novactl pki issue node ${given.nodeName} --address ADDRESS --out DIR; then have its files in the place of these`;
  let certificate: X509Certificate;
  let authorities: X509Certificate[];
  try {
    certificate = new X509Certificate(given.certificate ?? '');
    authorities = certificatesIn(given.ca ?? '');
    if (!certificate.checkPrivateKey(createPrivateKey(given.key ?? ''))) {
      return failure('The key is not that of the certificate', again);
    }
  } catch {
    return failure('The certificate, its key or the CA cannot be read', again);
  }
  // Certificates between ours and the CA may follow our own in its file.
  const between = certificatesIn(given.certificate ?? '').slice(1);
  if (!hasChain(certificate, between, authorities)) {
    return failure('The certificate is not signed by the configured CA', again);
  }
  const from = Date.parse(certificate.validFrom);
  const to = Date.parse(certificate.validTo);
  if (given.nowMs < from) {
    return failure(
      `The certificate is valid only from ${certificate.validFrom}`,
      'Check the clock',
    );
  }
  if (given.nowMs > to) return failure(`The certificate expired on ${certificate.validTo}`, again);
  const identity = `URI:spiffe://novacron/node/${given.nodeName}`;
  const names = certificate.subjectAltName?.split(', ') ?? [];
  if (!names.includes(identity)) {
    return failure(
      `The certificate does not name this node: it has ${names.join(', ') || 'no names'}`,
      `${again}. It must have the subject alternative name ${identity}`,
    );
  }
  const days = Math.floor((to - given.nowMs) / DAY_MS);
  if (days < WARN_DAYS) return warning(`The certificate expires in ${days} days`, again);
  return ok(`Valid for ${days} days, signed by the CA, names the node`);
}

function hasChain(
  certificate: X509Certificate,
  between: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): boolean {
  let current = certificate;
  for (const next of [...between, undefined]) {
    if (authorities.some((authority) => isSignedBy(current, authority))) return true;
    if (next === undefined || !isSignedBy(current, next)) return false;
    current = next;
  }
  return false;
}

function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

function certificatesIn(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** A key that others can read is no secret; a socket that others can open is no boundary. */
export async function checkPermissions(
  host: Host,
  { tls, socket }: AgentSettings,
): Promise<Finding> {
  const key = await host.findInfo(tls.key);
  if (key !== undefined && (key.mode & 0o077) !== 0) {
    return failure(
      `${tls.key} can be read by others (mode ${key.mode.toString(8)})`,
      `chmod 600 ${tls.key}`,
    );
  }
  const info = await host.findInfo(socket);
  if (info !== undefined && (info.mode & 0o007) !== 0) {
    return failure(
      `Every user can open ${socket} (mode ${info.mode.toString(8)})`,
      `chmod 600 ${socket}`,
    );
  }
  if (host.userId() !== 0) {
    return warning(
      'doctor does not run as root, so it cannot look at everything',
      'Run it with sudo',
    );
  }
  return ok('The key and the socket are for their owner only');
}
