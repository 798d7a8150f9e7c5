import { randomBytes, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtempDisposable, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { whyUnreadable } from '../../core/file-words.ts';
import { type CertificateRequest, type KeyPairFiles, makeCertificate } from './openssl.ts';
import { PkiError } from './pki-error.ts';
import { makePrivateFolder } from './private-folder.ts';

export const DEFAULT_AUTHORITY = '/etc/novacron/ca';

const AUTHORITY_DAYS = 3650;

/** Makes a CA in a folder, which is made too. Never replaces one: all that it has signed would be worth nothing. */
export async function createAuthority(folder: string, signal: AbortSignal): Promise<string> {
  const files = authorityFiles(folder);
  for (const file of Object.values(files)) {
    if (!existsSync(file)) continue;
    throw new PkiError(
      `Cannot make a CA in ${folder}: ${file} is there already`,
      'Issue certificates with the CA that is there (novactl pki issue), or make another in another folder with --dir',
    );
  }
  await makePrivateFolder(folder);
  const request: CertificateRequest = {
    // Those who have met several must be able to tell them apart.
    commonName: `NovaCron CA ${randomBytes(4).toString('hex')}`,
    days: AUTHORITY_DAYS,
    extensions: {
      basicConstraints: 'critical,CA:TRUE,pathlen:0',
      keyUsage: 'critical,keyCertSign,cRLSign',
      subjectKeyIdentifier: 'hash',
    },
  };
  await using scratch = await mkdtempDisposable(path.join(folder, '.new-'));
  const made = await makeCertificate(request, scratch.path, signal);
  await chmod(made.key, 0o600);
  // The certificate comes last: without it there is no CA here.
  await rename(made.key, files.key);
  await rename(made.certificate, files.certificate);
  return files.certificate;
}

export function authorityFiles(folder: string): KeyPairFiles {
  return { certificate: path.join(folder, 'ca.crt'), key: path.join(folder, 'ca.key') };
}

/** Fails where its key is not, too. */
export async function readAuthority(folder: string): Promise<X509Certificate> {
  const files = authorityFiles(folder);
  try {
    await readFile(files.key);
    return new X509Certificate(await readFile(files.certificate));
  } catch (error) {
    throw new PkiError(
      `Cannot use the CA in ${folder}: ${whyUnreadable(error)}`,
      'Name the folder of the CA with --dir, on the machine where it was made; make one with novactl pki init',
      { cause: error },
    );
  }
}
