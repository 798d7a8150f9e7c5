import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';

/** The texts of PEM files, and what they are called. */
export interface NodeCertificate {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
  readonly files: { readonly certificate: string; readonly key: string; readonly ca: string };
  /** Undefined where it is not known. */
  readonly nodeName: string | undefined;
}

export interface CertificateProblem {
  /** `unusable`: nothing can be done with the files; `refused`: nobody else accepts them; `ending`: that is soon so. */
  readonly kind: 'unusable' | 'refused' | 'ending';
  readonly problem: string;
  readonly toDo: string;
}

/** What is right with files that have no problem. */
export interface CertificateLife {
  readonly daysLeft: number;
}

const DAY_MS = 86_400_000;
/** A certificate that is made for less is renewed more often. */
const WARN_MS = 30 * DAY_MS;
const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;
const OURS = 'URI:spiffe://novacron/';

/** Do they belong together, are they valid now, do they name the node? The first thing that is wrong. */
export function judgeNodeCertificate(
  given: NodeCertificate,
  nowMs: number,
): CertificateProblem | CertificateLife {
  const { files, nodeName } = given;
  const again = issueAgain(nodeName);
  const unusable = (problem: string, toDo = again): CertificateProblem => ({
    kind: 'unusable',
    problem,
    toDo,
  });
  const chain = certificatesIn(given.certificate);
  const [own] = chain;
  if (own === undefined)
    return unusable(`${files.certificate} ${noCertificate(given.certificate)}`);
  const authorities = certificatesIn(given.ca);
  if (authorities.length === 0) {
    const toDo = 'Copy the certificate of the CA there that is the same on all nodes';
    return unusable(`${files.ca} ${noCertificate(given.ca)}`, toDo);
  }
  const key = privateKeyIn(given.key);
  if (typeof key === 'string') return unusable(`${files.key} ${key}`);
  if (!own.checkPrivateKey(key)) {
    const toDo = `Put that one back which was issued with it, or ${lower(again)}`;
    return unusable(
      `The key ${files.key} is not that of the certificate ${files.certificate}`,
      toDo,
    );
  }
  return refusalOf(own, { chain, authorities, given, nowMs }) ?? lifeOf(own, { given, nowMs });
}

interface Judged {
  readonly chain: readonly X509Certificate[];
  readonly authorities: readonly X509Certificate[];
  readonly given: NodeCertificate;
  readonly nowMs: number;
}

function refusalOf(
  own: X509Certificate,
  { chain, authorities, given, nowMs }: Judged,
): CertificateProblem | undefined {
  const { files, nodeName } = given;
  const again = issueAgain(nodeName);
  const refused = (problem: string, toDo = again): CertificateProblem => ({
    kind: 'refused',
    problem,
    toDo,
  });
  const authority = authorityOf(chain, authorities);
  if (authority === undefined) {
    const problem = `The certificate ${files.certificate} is not signed by the configured CA ${files.ca}, but by ${nameOf(own.issuer)}`;
    return refused(problem, `${again}, or name the CA in tls.ca that all nodes share`);
  }
  for (const [what, file, certificate] of [
    ['certificate', files.certificate, own],
    ['certificate of the CA', files.ca, authority],
  ] as const) {
    const { validFromDate, validToDate } = certificate;
    if (nowMs < validFromDate.getTime()) {
      const problem = `The ${what} ${file} is valid only from ${isoOf(validFromDate)}, and the clock of this node says ${isoOf(new Date(nowMs))}`;
      return refused(
        problem,
        'Check the clock (date -u; timedatectl), here and where it was issued',
      );
    }
    if (nowMs <= validToDate.getTime()) continue;
    const problem = `The ${what} ${file} expired on ${isoOf(validToDate)}`;
    const newCa = 'Make a new CA and issue the certificates of all nodes again: novactl pki init';
    return refused(problem, certificate === own ? again : newCa);
  }
  const names = own.subjectAltName?.split(', ') ?? [];
  const ours = names.filter((name) => name.startsWith(OURS));
  const wanted = `${OURS}node/${nodeName ?? ''}`;
  if (nodeName === undefined || (ours.length === 1 && ours[0] === wanted)) return undefined;
  const problem = `The certificate ${files.certificate} does not name this node, ${nodeName}: it has ${(ours.length > 0 ? ours : names).join(', ') || 'no names'}`;
  return refused(
    problem,
    `${again}, with the one subject alternative name ${wanted}; or correct nodeName`,
  );
}

function lifeOf(
  { validFromDate, validToDate }: X509Certificate,
  { given, nowMs }: Pick<Judged, 'given' | 'nowMs'>,
): CertificateProblem | CertificateLife {
  const leftMs = validToDate.getTime() - nowMs;
  const daysLeft = Math.floor(leftMs / DAY_MS);
  const warnMs = Math.min(WARN_MS, (validToDate.getTime() - validFromDate.getTime()) / 3);
  if (leftMs >= warnMs) return { daysLeft };
  const problem = `The certificate ${given.files.certificate} expires in ${daysLeft} days, on ${isoOf(validToDate)}`;
  return { kind: 'ending', problem, toDo: issueAgain(given.nodeName) };
}

function issueAgain(nodeName = 'NAME'): string {
  return `Issue it again where the CA is: novactl pki issue node ${nodeName} --out DIR, and copy the files here; the agent reads them anew by itself`;
}

function lower(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}

function noCertificate(text: string): string {
  if (text.trim() === '') return 'is empty';
  if (text.includes('PRIVATE KEY-----')) return 'is a key where a certificate should be';
  return text.includes('-----BEGIN CERTIFICATE-----')
    ? 'has a certificate that cannot be read'
    : 'has no certificate in it (PEM is wanted)';
}

/** The key, or why there is none. */
function privateKeyIn(text: string): KeyObject | string {
  if (text.trim() === '') return 'is empty';
  if (!text.includes('PRIVATE KEY-----')) return 'has no private key in it (PEM is wanted)';
  if (text.includes('ENCRYPTED')) return 'is protected by a passphrase, which nobody types in here';
  try {
    return createPrivateKey(text);
  } catch {
    return 'has a private key that cannot be read';
  }
}

/** None if one of them cannot be read. */
function certificatesIn(pem: string): X509Certificate[] {
  try {
    return (pem.match(PEM_CERTIFICATE) ?? []).map((block) => new X509Certificate(block));
  } catch {
    return [];
  }
}

/** Who has signed it; certificates between it and the CA may follow it in its file. */
function authorityOf(
  chain: readonly X509Certificate[],
  authorities: readonly X509Certificate[],
): X509Certificate | undefined {
  for (const [index, current] of chain.entries()) {
    const found = authorities.find((authority) => isSignedBy(current, authority));
    if (found !== undefined) return found;
    const next = chain[index + 1];
    if (next === undefined || !isSignedBy(current, next)) return undefined;
  }
  return undefined;
}

function isSignedBy(certificate: X509Certificate, authority: X509Certificate): boolean {
  return certificate.checkIssued(authority) && certificate.verify(authority.publicKey);
}

/** Of `C=…\nCN=x` what people call it by. */
function nameOf(distinguishedName: string): string {
  return distinguishedName.replaceAll('\n', ', ') || 'an unnamed one';
}

function isoOf(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z');
}
