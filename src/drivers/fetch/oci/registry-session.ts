import { createHash } from 'node:crypto';
import type { OciReference } from '../../../core/oci-reference.ts';
import * as z from '../../../core/zod.ts';
import type { ImageCredentials } from '../../image-fetcher.ts';
import type { AllowedHosts } from '../allowed-hosts.ts';
import { type Authorization, bearer, headerOf } from '../authorization.ts';
import type { CurlSettings } from '../curl.ts';
import { askForDocument, type DocumentAnswer } from '../document.ts';
import { digestMismatch, fetchFailed, notAllowed, refusedByServer } from '../errors.ts';
import type { Place } from '../place.ts';
import { type Challenge, parseChallenge } from './challenge.ts';
import { ACCEPT } from './manifest.ts';

export interface RegistrySettings {
  readonly hosts: AllowedHosts;
  readonly settings: CurlSettings;
  /** HOST or HOST:PORT of those that are asked without TLS. */
  readonly insecureRegistries: readonly string[];
}

export interface RegistrySessionOptions extends RegistrySettings {
  readonly url: URL;
  readonly reference: OciReference;
  readonly credentials: ImageCredentials | undefined;
}

/** No manifest of a disk is a hundredth of this; most registries take none that is larger. */
const MAX_MANIFEST_BYTES = 4 * 2 ** 20;
const MAX_TOKEN_BYTES = 64 * 1024;
/** Where whoever gives a token out does not say how long it is good. */
const TOKEN_S = 60;
/** It must still be good when it gets there. */
const TOKEN_MARGIN_S = 15;
/** What people call Docker Hub. */
const OTHERWISE: ReadonlyMap<string, string> = new Map([['docker.io', 'registry-1.docker.io']]);

const tokenSchema = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
  expires_in: z.number().optional(),
});

/** One image in a registry, as whom it is asked for, and what it has given out to show that. */
export class RegistrySession {
  readonly #options: RegistrySessionOptions;
  readonly #base: URL;
  #challenge: Challenge | undefined;
  #authorization: Authorization | undefined;
  #endsAtMs = Number.POSITIVE_INFINITY;

  constructor(options: RegistrySessionOptions) {
    this.#options = options;
    const { registry } = options.reference;
    const host = OTHERWISE.get(registry) ?? registry;
    this.#base = new URL(`${this.#isInsecure(registry) ? 'http' : 'https'}://${host}/v2/`);
  }

  /** What it is called there. Its digest is that of its bytes, whatever the registry says. */
  async getManifest(
    name: string,
    signal: AbortSignal,
  ): Promise<{ readonly content: Buffer; readonly digest: string }> {
    const { url } = this.#options;
    const { head, content } = await this.#askLoggingIn(`manifests/${name}`, signal);
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    const said = head.headers.get('docker-content-digest') ?? '';
    const wanted = name.startsWith('sha256:') ? name : said;
    if (wanted.startsWith('sha256:') && wanted !== digest) {
      throw digestMismatch(url, hex(wanted), hex(digest), false);
    }
    return { content, digest };
  }

  /** Of what a manifest names. Must come after `getManifest`, which has found out how to show who asks. */
  placeOf(blob: string): Place {
    const { url } = this.#options;
    return { url, at: this.#at(`blobs/${blob}`), authorize: (signal) => this.#authorize(signal) };
  }

  async #askLoggingIn(what: string, signal: AbortSignal): Promise<DocumentAnswer> {
    const at = this.#at(what);
    const first = await this.#ask(at, signal);
    if (first.head.status !== 401 || this.#challenge !== undefined) return this.#judge(at, first);
    this.#challenge = parseChallenge(first.head.headers.get('www-authenticate') ?? '');
    if (this.#challenge === undefined) return this.#judge(at, first);
    // Once: a registry that is shown what it wants and wants it again never has enough.
    return this.#judge(at, await this.#ask(at, signal));
  }

  async #ask(at: URL, signal: AbortSignal): Promise<DocumentAnswer> {
    const { url, hosts, settings, reference } = this.#options;
    const question = {
      url,
      at,
      hosts,
      settings,
      authorize: (aborted: AbortSignal) => this.#authorize(aborted),
      headers: [ACCEPT],
      maxBytes: MAX_MANIFEST_BYTES,
      isChecked: reference.digest !== undefined,
    };
    return await askForDocument(question, signal);
  }

  #judge(at: URL, answer: DocumentAnswer): DocumentAnswer {
    if (answer.head.status === 200) return answer;
    throw refusedByServer({ url: this.#options.url, at }, answer, answer.head);
  }

  async #authorize(signal: AbortSignal): Promise<Authorization | undefined> {
    const { credentials } = this.#options;
    if (this.#challenge === undefined) return undefined;
    if (this.#challenge.scheme === 'basic' || credentials?.kind === 'token') {
      return credentials && headerOf(credentials);
    }
    if (this.#authorization === undefined || Date.now() >= this.#endsAtMs) {
      await this.#getToken(this.#challenge, signal);
    }
    return this.#authorization;
  }

  async #getToken(
    { realm, service, scope }: Extract<Challenge, { scheme: 'bearer' }>,
    signal: AbortSignal,
  ): Promise<void> {
    const { url, hosts, settings, reference, credentials } = this.#options;
    const at = this.#realmOf(realm);
    if (service !== undefined) at.searchParams.set('service', service);
    at.searchParams.set('scope', scope ?? `repository:${reference.repository}:pull`);
    const question = {
      url,
      at,
      hosts,
      settings,
      authorize: () => Promise.resolve(credentials && headerOf(credentials)),
      headers: [],
      maxBytes: MAX_TOKEN_BYTES,
      isChecked: false,
    };
    const askedAtMs = Date.now();
    const answer = await askForDocument(question, signal);
    if (answer.head.status !== 200) throw refusedByServer({ url, at }, answer, answer.head);
    const { token, expiresInS } = this.#readToken(answer.content);
    this.#authorization = bearer(token);
    this.#endsAtMs = askedAtMs + Math.max(1, expiresInS - TOKEN_MARGIN_S) * 1000;
  }

  #readToken(content: Buffer): { readonly token: string; readonly expiresInS: number } {
    const given = parseToken(content);
    const token = given?.token ?? given?.access_token ?? '';
    // It goes into a header.
    if (/^[\x21-\x7e]+$/.test(token)) return { token, expiresInS: given?.expires_in ?? TOKEN_S };
    throw fetchFailed(
      this.#options.url,
      'its registry leads to where tokens are given out, and there is none; look at it with: curl -v',
    );
  }

  /** Its registry says where the password is to be shown: to nobody whom others could listen to. */
  #realmOf(realm: string): URL {
    const { url } = this.#options;
    const at = URL.canParse(realm) ? new URL(realm) : undefined;
    const isPlain = at?.protocol === 'http:' && this.#isInsecure(at.host);
    if (at === undefined || !(isPlain || at.protocol === 'https:')) {
      throw notAllowed(
        url,
        'its registry has tokens given out at no https: address; use another registry, or list that host in images.insecureRegistries of this node',
      );
    }
    at.username = '';
    at.password = '';
    return at;
  }

  #at(what: string): URL {
    return new URL(`${this.#options.reference.repository}/${what}`, this.#base);
  }

  #isInsecure(host: string): boolean {
    return this.#options.insecureRegistries.includes(host);
  }
}

function parseToken(content: Buffer): z.infer<typeof tokenSchema> | undefined {
  try {
    return tokenSchema.safeParse(JSON.parse(content.toString('utf8'))).data;
  } catch {
    return undefined;
  }
}

function hex(digest: string): string {
  return digest.slice('sha256:'.length);
}
