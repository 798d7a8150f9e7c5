import { X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, copyFile, mkdtempDisposable, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { ipVersionOf } from '../../core/ip-address.ts';
import { authorityFiles, readAuthority } from './authority.ts';
import { makeCertificate } from './openssl.ts';
import { PkiError } from './pki-error.ts';
import { makePrivateFolder } from './private-folder.ts';

type Role = 'controller' | 'operator' | 'viewer';
export type Holder = 'node' | Role;

export interface IssueRequest {
  readonly holder: Holder;
  readonly name: string;
  /** IP addresses and host names at which others reach a node, beside its name. */
  readonly addresses: readonly string[];
  readonly days: number;
  /** Where its files are to lie. */
  readonly folder: string;
  /** Whether files that are there are replaced. */
  readonly replace: boolean;
}

/** Paths of PEM files, named as the agent looks for them. */
export interface IssuedFiles {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
  readonly validTo: Date;
}

/** X.509's own limit. */
const MAX_COMMON_NAME = 64;
const DAY_MS = 86_400_000;

/** Issues a certificate with a new key; all of its files are made, or none. */
export async function issueCertificate(
  authority: string,
  request: IssueRequest,
  signal: AbortSignal,
): Promise<IssuedFiles> {
  const issuer = authorityFiles(authority);
  checkDays(await readAuthority(authority), request.days);
  const { folder, replace } = request;
  const [certificate, key, ca] = ['tls.crt', 'tls.key', 'ca.crt'].map((name) =>
    path.join(folder, name),
  ) as [string, string, string];
  const there = [certificate, key, ca].find((file) => existsSync(file));
  if (there !== undefined && !replace) {
    throw new PkiError(
      `Cannot write the certificate: ${there} is there already`,
      'Give another folder with --out, or replace what is there with --replace',
    );
  }
  await makePrivateFolder(folder);
  await using scratch = await mkdtempDisposable(path.join(folder, '.new-'));
  const made = await makeCertificate(
    {
      commonName: request.name.slice(0, MAX_COMMON_NAME),
      days: request.days,
      extensions: extensionsOf(request),
      issuer,
    },
    scratch.path,
    signal,
  );
  const newCa = path.join(scratch.path, 'ca.crt');
  await copyFile(issuer.certificate, newCa);
  await chmod(made.key, 0o600);
  for (const file of [made.certificate, newCa]) await chmod(file, 0o644);
  // An agent that looks meanwhile finds a key of another certificate, and looks again.
  await rename(newCa, ca);
  await rename(made.key, key);
  await rename(made.certificate, certificate);
  const { validToDate } = new X509Certificate(await readFile(certificate));
  return { certificate, key, ca, validTo: validToDate };
}

function extensionsOf({ holder, name, addresses }: IssueRequest): Readonly<Record<string, string>> {
  const isNode = holder === 'node';
  const uri = isNode
    ? `URI:spiffe://novacron/node/${name}`
    : `URI:spiffe://novacron/role/${holder}`;
  const names = new Set(isNode ? [name, ...addresses] : []);
  const others = [...names].map((each) => `${ipVersionOf(each) === 0 ? 'DNS' : 'IP'}:${each}`);
  return {
    basicConstraints: 'critical,CA:FALSE',
    keyUsage: 'critical,digitalSignature',
    extendedKeyUsage: isNode ? 'serverAuth,clientAuth' : 'clientAuth',
    subjectKeyIdentifier: 'hash',
    authorityKeyIdentifier: 'keyid',
    subjectAltName: [uri, ...others].join(','),
  };
}

function checkDays({ validToDate }: X509Certificate, days: number): void {
  const left = Math.floor((validToDate.getTime() - Date.now()) / DAY_MS);
  if (days <= left) return;
  const until = validToDate.toISOString().slice(0, 10);
  throw new PkiError(
    `Cannot issue a certificate for ${days} days: the CA is valid until ${until} only`,
    left >= 1
      ? `Ask for less: --days ${left}`
      : 'Make a new CA in another folder (novactl pki init --dir DIR), and issue all certificates anew',
  );
}
