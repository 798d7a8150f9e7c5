import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { AgentError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';

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

// The files are compared by content: Kubernetes swaps a symlink two levels up, which file watches miss.
const POLL_INTERVAL_MS = 10_000;

/** This node's certificate, its key and the CA, read anew when their files change. */
export class Certificates implements Disposable {
  readonly files: CertificateFiles;
  readonly #log: Logger;
  readonly #listeners = new Set<(change: CertificateChange) => void>();
  readonly #timer: NodeJS.Timeout;
  #current: CertificateSet;
  #complained = false;

  private constructor(
    files: CertificateFiles,
    current: CertificateSet,
    log: Logger,
    intervalMs: number,
  ) {
    this.files = files;
    this.#current = current;
    this.#log = log;
    this.#timer = setInterval(() => void this.refresh(), intervalMs).unref();
  }

  /** Fails with INVALID_CONFIG if the files cannot be used. */
  static async open(
    files: CertificateFiles,
    log: Logger,
    intervalMs: number = POLL_INTERVAL_MS,
  ): Promise<Certificates> {
    return new Certificates(files, await read(files), log, intervalMs);
  }

  get current(): CertificateSet {
    return this.#current;
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
      next = await read(this.files);
    } catch (error) {
      if (!this.#complained) this.#log.warn({ err: error }, 'Changed certificates cannot be used');
      this.#complained = true;
      return;
    }
    this.#complained = false;
    const previous = this.#current;
    const caChanged = !next.ca.equals(previous.ca);
    if (!caChanged && next.cert.equals(previous.cert) && next.key.equals(previous.key)) return;
    this.#current = next;
    this.#log.info({ caChanged, notAfter: notAfter(next.cert) }, 'Certificates replaced');
    for (const listener of this.#listeners) listener({ caChanged });
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#listeners.clear();
  }
}

async function read(files: CertificateFiles): Promise<CertificateSet> {
  try {
    const [cert, key, ca] = await Promise.all([
      readFile(files.certificate),
      readFile(files.key),
      readFile(files.ca),
    ]);
    // Refuses a key of another certificate; the CA file would pass without any certificate in it.
    createSecureContext({ cert, key, ca });
    notAfter(ca);
    return { cert, key, ca };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new AgentError(
      'INVALID_CONFIG',
      `Cannot use the certificate ${files.certificate} with the key ${files.key} and the CA ${files.ca}: ${why}`,
      { cause: error },
    );
  }
}

function notAfter(pem: Buffer): string {
  return new X509Certificate(pem).validToDate.toISOString();
}
