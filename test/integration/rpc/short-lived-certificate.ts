import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import type { Credentials } from '../../../lab/node/certificates.ts';

const openssl = (args: readonly string[]) => promisify(execFile)('openssl', args);

/** A certificate, of an operator unless other names are given, of the authority in `folder`/ca that expires in seconds, which only `openssl ca` can make. */
export async function issueShortLived(
  folder: string,
  name: string,
  seconds: number,
  names = 'URI:spiffe://novacron/role/operator',
): Promise<Credentials> {
  const at = path.join(folder, name);
  await mkdir(at);
  const file = (part: string) => path.join(at, part);
  await writeFile(file('index.txt'), '');
  await writeFile(
    file('openssl.cnf'),
    [
      '[ca]\ndefault_ca = short',
      `[short]\ndatabase = ${file('index.txt')}\nnew_certs_dir = ${at}\nrand_serial = yes`,
      'default_md = sha256\npolicy = any\nx509_extensions = names',
      '[any]\ncommonName = supplied',
      `[names]\nsubjectAltName = ${names}\nextendedKeyUsage = clientAuth, serverAuth\n`,
    ].join('\n'),
  );
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const request = ['req', '-new', ...newKey, '-keyout', file('key.pem'), '-subj', `/CN=${name}`];
  await openssl([...request, '-out', file('request.pem')]);
  const ca = path.join(folder, 'ca', 'ca.pem');
  const issuer = ['-cert', ca, '-keyfile', path.join(folder, 'ca', 'ca.key')];
  const enddate = new Date(Date.now() + 1_000 * seconds)
    .toISOString()
    .replaceAll(/[-:T]|\.\d+/g, '');
  const life = ['-enddate', enddate, '-in', file('request.pem'), '-out', file('certificate.pem')];
  await openssl(['ca', '-batch', '-notext', '-config', file('openssl.cnf'), ...issuer, ...life]);
  return { certificate: file('certificate.pem'), key: file('key.pem'), ca };
}
