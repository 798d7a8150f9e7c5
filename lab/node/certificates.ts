import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../core/run-command.ts';
import type { NodePlan } from '../plan/lab-plan.ts';

/** Paths of PEM files. */
export interface Credentials {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

export type ClientRole = 'controller' | 'operator' | 'viewer';

const DAYS = 365;
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

/**
 * A certificate authority and what it issues, in one folder. Asking again for the same certificate gives the same
 * files. Tests make bad ones with `expired` and with the authority of another folder.
 */
export class Certificates {
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** Opens the folder's authority, making it the first time. */
  static async ensure(folder: string, signal: AbortSignal): Promise<Certificates> {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const certificates = new Certificates(folder);
    const { certificate, key } = certificates.#files('ca');
    if (!existsSync(certificate)) {
      const request = ['req', '-x509', ...NEW_KEY, '-keyout', key, '-out', certificate];
      const content = ['-subj', '/CN=NovaCron lab', '-days', String(DAYS)];
      const usage = ['-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
      await openssl([...request, ...content, ...usage], signal);
    }
    return certificates;
  }

  get ca(): string {
    return this.#files('ca').certificate;
  }

  /** For the agent of a node: server and client, known as `spiffe://novacron/node/NAME`. */
  async node(node: NodePlan, signal: AbortSignal): Promise<Credentials> {
    const identity = `URI:spiffe://novacron/node/${node.name}`;
    const names = `DNS:${node.name},DNS:${node.hostname},IP:${node.address}`;
    return this.issue(`node-${node.name}`, `${identity},${names}`, signal);
  }

  /** For a client with a role, known as `spiffe://novacron/role/ROLE`. */
  async client(role: ClientRole, signal: AbortSignal): Promise<Credentials> {
    return this.issue(`role-${role}`, `URI:spiffe://novacron/role/${role}`, signal);
  }

  /** Any names, in openssl's notation: `URI:…,DNS:…,IP:…`. */
  async issue(file: string, subjectAltName: string, signal: AbortSignal): Promise<Credentials> {
    const { certificate, key } = this.#files(file);
    const ca = this.#files('ca');
    if (!existsSync(certificate)) {
      const request = ['req', '-x509', ...NEW_KEY, '-keyout', key, '-out', certificate];
      const issuer = ['-CA', ca.certificate, '-CAkey', ca.key];
      const content = [
        '-subj',
        `/CN=${file}`,
        '-days',
        String(DAYS),
        ...extensions(subjectAltName),
      ];
      await openssl([...request, ...issuer, ...content], signal);
    }
    return { certificate, key, ca: ca.certificate };
  }

  /** Like `issue`, but no longer valid. */
  async expired(file: string, subjectAltName: string, signal: AbortSignal): Promise<Credentials> {
    const { certificate, key } = this.#files(file);
    const ca = this.#files('ca');
    const content = ['-keyout', key, '-subj', `/CN=${file}`, ...extensions(subjectAltName)];
    const request = await openssl(['req', '-new', ...NEW_KEY, ...content], signal);
    const issuer = ['-CA', ca.certificate, '-CAkey', ca.key, '-CAcreateserial'];
    const copy = ['-copy_extensions', 'copy', '-days', '-1', '-out', certificate];
    await openssl(['x509', '-req', ...issuer, ...copy], signal, request);
    return { certificate, key, ca: ca.certificate };
  }

  #files(name: string): { certificate: string; key: string } {
    const at = path.join(this.#folder, name);
    return { certificate: `${at}.pem`, key: `${at}.key` };
  }
}

function extensions(subjectAltName: string): string[] {
  return [
    'basicConstraints=critical,CA:FALSE',
    'keyUsage=critical,digitalSignature',
    'extendedKeyUsage=serverAuth,clientAuth',
    `subjectAltName=${subjectAltName}`,
  ].flatMap((extension) => ['-addext', extension]);
}

async function openssl(args: readonly string[], signal: AbortSignal, input = ''): Promise<string> {
  return run(['openssl', ...args], { input }, signal);
}
