import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { PkiError } from './pki-error.ts';

/** A certificate to be made, with a new key. */
export interface CertificateRequest {
  readonly commonName: string;
  readonly days: number;
  /** Extensions as openssl writes them, by name. */
  readonly extensions: Readonly<Record<string, string>>;
  /** Who signs it; without, it signs itself. */
  readonly issuer?: { readonly certificate: string; readonly key: string } | undefined;
}

export interface KeyPairFiles {
  readonly certificate: string;
  readonly key: string;
}

/** Makes both files in a folder that is for its owner only. The key never leaves it unasked: nothing else has it meanwhile. */
export async function makeCertificate(
  { commonName, days, extensions, issuer }: CertificateRequest,
  folder: string,
  signal: AbortSignal,
): Promise<KeyPairFiles> {
  const files = { certificate: path.join(folder, 'new.crt'), key: path.join(folder, 'new.key') };
  const config = path.join(folder, 'request.cnf');
  await writeFile(config, renderConfig(commonName, extensions));
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc'];
  const out = ['-keyout', files.key, '-out', files.certificate];
  const signer = issuer === undefined ? [] : ['-CA', issuer.certificate, '-CAkey', issuer.key];
  const words = ['req', '-x509', '-config', config, '-days', String(days), '-sha256'];
  await openssl([...words, ...key, ...out, ...signer], signal);
  return files;
}

/** What the machine's own openssl.cnf says is another's wish. */
function renderConfig(commonName: string, extensions: Readonly<Record<string, string>>): string {
  const lines = Object.entries(extensions).map(([name, value]) => `${name} = ${value}`);
  return `[req]
prompt = no
distinguished_name = name
x509_extensions = extensions
[name]
CN = ${commonName}
[extensions]
${lines.join('\n')}
`;
}

async function openssl(words: readonly string[], signal: AbortSignal): Promise<void> {
  try {
    await promisify(execFile)('openssl', words, { signal });
  } catch (error) {
    signal.throwIfAborted();
    const { code, stderr } = error as { readonly code?: unknown; readonly stderr?: string };
    if (code === 'ENOENT') {
      throw new PkiError(
        'Cannot make a certificate: openssl is not installed',
        'Install it (Debian: apt install openssl)',
        { cause: error },
      );
    }
    throw new PkiError(
      `Cannot make a certificate: openssl says: ${stderr?.trim() || String(error)}`,
      'Mend what it names; openssl version must be 3.0 or newer',
      { cause: error },
    );
  }
}
