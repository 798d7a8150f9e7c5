import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { AgentError } from '../../core/errors.ts';
import { whyUnreadable } from '../../core/file-words.ts';
import type { Logger } from '../../core/logger.ts';
import { judgeNodeCertificate } from '../../core/node-certificate.ts';
import type { CertificateReport } from '../node/certificate-report.ts';

/** Paths of PEM files. */
export interface CertificateFiles {
  readonly certificate: string;
  readonly key: string;
  readonly ca: string;
}

export interface CertificateSet {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly ca: Buffer;
}

export interface CertificateChange {
  readonly caChanged: boolean;
}

export interface CertificateOptions {
  /** Whom the certificate has to name; anybody unless given. */
  readonly nodeName?: string;
  readonly intervalMs?: number;
}

// The files are compared by content: Kubernetes swaps a symlink two levels up, which file watches miss.
const POLL_INTERVAL_MS = 10_000;
/** Until files that are as they were are judged anew: only time can change what they are. */
const JUDGED_FOR_MS = 60_000;

/** This node's certificate, its key and the CA, read anew when their files change. */
export class Certificates implements Disposable {
  readonly files: CertificateFiles;
  readonly #log: Logger;
  readonly #listeners = new Set<(change: CertificateChange) => void>();
  readonly #timer: NodeJS.Timeout;
  readonly #nodeName: string | undefined;
  #current: CertificateSet;
  #complained = false;
  /** What others hold against it, as it was last said in the log. */
  #problem = '';
  #report: CertificateReport;
  #judgedAtMs = 0;

  private constructor(
    files: CertificateFiles,
    current: CertificateSet,
    log: Logger,
    { nodeName, intervalMs = POLL_INTERVAL_MS }: CertificateOptions,
  ) {
    this.files = files;
    this.#current = current;
    this.#log = log;
    this.#nodeName = nodeName;
    this.#timer = setInterval(() => void this.refresh(), intervalMs).unref();
    this.#report = this.#lookAt(current);
  }

  /**
   * Fails with INVALID_CONFIG if the files cannot be used. If only others refuse them, as they do once they have expired, that is
   * said in the log: whoever is on the node needs no certificate, and VMs run on.
   */
  static async open(
    files: CertificateFiles,
    log: Logger,
    options: CertificateOptions = {},
  ): Promise<Certificates> {
    return new Certificates(files, await read(files), log, options);
  }

  get current(): CertificateSet {
    return this.#current;
  }

  /** Of those in use, a few seconds ago. */
  report(): CertificateReport {
    return this.#report;
  }

  /** Calls the listener after each change until it is removed with the function given back. */
  onChange(listener: (change: CertificateChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Looks at the files now. Files that cannot be used (say, the key is not replaced yet) leave the old set in
   * place, which is said in the log once.
   */
  async refresh(): Promise<void> {
    let next: CertificateSet;
    try {
      next = await read(this.files, this.#current);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      if (!this.#complained) this.#log.warn({ problem }, 'Changed certificates cannot be used');
      this.#complained = true;
      // Those in use may end meanwhile.
      this.#lookAgain();
      return;
    }
    this.#complained = false;
    const previous = this.#current;
    if (next === previous) {
      this.#lookAgain();
      return;
    }
    this.#report = this.#lookAt(next);
    const caChanged = !next.ca.equals(previous.ca);
    this.#current = next;
    this.#log.info({ caChanged, notAfter: notAfter(next.cert) }, 'Certificates replaced');
    for (const listener of this.#listeners) listener({ caChanged });
  }

  /** At those in use, whose files are as they were. */
  #lookAgain(): void {
    const nowMs = Date.now();
    const { expiresAtMs } = this.#report;
    const endsNow = this.#judgedAtMs <= expiresAtMs && nowMs > expiresAtMs;
    const isFresh = Math.abs(nowMs - this.#judgedAtMs) < JUDGED_FOR_MS;
    if (endsNow || !isFresh) this.#report = this.#lookAt(this.#current);
  }

  #lookAt(set: CertificateSet): CertificateReport {
    this.#judgedAtMs = Date.now();
    const judged = judge(set, this.files, this.#nodeName);
    const { validFromDate, validToDate } = new X509Certificate(set.cert);
    const expiresAtMs = validToDate.getTime();
    const lifetimeMs = expiresAtMs - validFromDate.getTime();
    if (!('problem' in judged)) {
      this.#problem = '';
      return { reason: 'Valid', message: '', expiresAtMs, lifetimeMs };
    }
    const { kind, problem, toDo } = judged;
    const isEnding = kind === 'ending';
    // The days that are left change daily.
    const said = isEnding ? kind : problem;
    if (said !== this.#problem) {
      if (isEnding) this.#log.warn({ problem, toDo }, 'Certificate expires soon');
      else this.#log.error({ problem, toDo }, 'Other nodes and clients refuse the certificate');
    }
    this.#problem = said;
    const reason = isEnding ? 'ExpiresSoon' : 'Refused';
    return { reason, message: `${problem}. ${toDo}`, expiresAtMs, lifetimeMs };
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }
}

/** What is in the files; `known` itself if it is that. */
async function read(files: CertificateFiles, known?: CertificateSet): Promise<CertificateSet> {
  const [cert, key, ca] = await Promise.all([
    readPem(files.certificate, 'certificate'),
    readPem(files.key, 'key'),
    readPem(files.ca, 'ca'),
  ]);
  const set = { cert, key, ca };
  if (known !== undefined && isSame(set, known)) return known;
  const judged = judge(set, files, undefined);
  if ('kind' in judged && judged.kind === 'unusable') {
    throw new AgentError('INVALID_CONFIG', `${judged.problem}. ${judged.toDo}`);
  }
  try {
    createSecureContext(set);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new AgentError(
      'INVALID_CONFIG',
      `Cannot use the certificate ${files.certificate} with the key ${files.key} and the CA ${files.ca}: ${why}`,
      { cause: error },
    );
  }
  return set;
}

function isSame(one: CertificateSet, other: CertificateSet): boolean {
  return one.cert.equals(other.cert) && one.key.equals(other.key) && one.ca.equals(other.ca);
}

async function readPem(file: string, key: keyof CertificateFiles): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new AgentError(
      'INVALID_CONFIG',
      `Cannot read ${file}, which tls.${key} names: ${whyUnreadable(error)}; issue it where the CA is: novactl pki issue node NAME --out DIR, or correct tls.${key}`,
      { cause: error },
    );
  }
}

function judge({ cert, key, ca }: CertificateSet, files: CertificateFiles, nodeName?: string) {
  const texts = { certificate: cert.toString(), key: key.toString(), ca: ca.toString() };
  return judgeNodeCertificate({ ...texts, files, nodeName }, Date.now());
}

function notAfter(pem: Buffer): string {
  return new X509Certificate(pem).validToDate.toISOString();
}
