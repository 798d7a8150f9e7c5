import { createHash } from 'node:crypto';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { delay } from '../../core/delay.ts';
import { AgentError } from '../../core/errors.ts';
import { HeldWork } from '../../core/held-work.ts';
import type { Logger } from '../../core/logger.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import { Turns } from '../../core/turns.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import type { ImageFetcher } from '../../drivers/image-fetcher.ts';
import type {
  ImageOrigin,
  ImageStore,
  ImageVerdict,
  StoredImage,
} from '../../drivers/image-store.ts';
import type { ImageInspector } from '../../drivers/images.ts';
import type { NodeSecrets } from '../../drivers/node-secrets.ts';
import {
  digestDigits,
  type ForeseenImage,
  type ImageProgress,
  type ImageService,
  type ImageWant,
  type WantedImage,
} from './image.ts';
import { readCredentials } from './image-credentials.ts';
import { ImageRoom } from './image-room.ts';
import { ServerSlots } from './server-slots.ts';

export interface ImageManagerOptions {
  readonly store: ImageStore;
  readonly fetcher: ImageFetcher;
  readonly images: Pick<ImageInspector, 'find'>;
  readonly host: Pick<HypervisorHost, 'getInfo'>;
  readonly nodeSecrets: Pick<NodeSecrets, 'read'>;
  readonly maxImageBytes: number;
  readonly cacheBytes: number;
  /** Other nodes may have the same folder. */
  readonly nodeName: string;
  /** What operations wait for that an agent before this one has begun: what has come of it is gone on with. */
  readonly listWanted: () => readonly ImageWant[];
  readonly log: Logger;
  readonly now?: () => number;
}

/** Of what is beside a file that is being fetched. */
const ENDINGS = ['', '.part', '.part.json'];
/** Whoever wants an image asks again every second. */
const HOLD_MS = 60_000;
const TRIM_TIMEOUT_MS = 60_000;
/** A use is noted anew after so long. */
const NOTED_MS = 60_000;
/** So long whoever asks is kept waiting: small images come at once. */
const SOON_MS = 250;

/** An image that comes. What has come of it when it is ended is gone on with the next time. */
type Download = HeldWork<ImageProgress, StoredImage>;

const NOT_BEGUN: ImageProgress = { step: 'waiting', bytes: 0, totalBytes: undefined };

/** Images of this node: which there are, where they came from, and how they come. */
export class ImageManager implements ImageService {
  readonly #options: ImageManagerOptions;
  readonly #slots = new ServerSlots();
  readonly #downloads = new Map<string, Download>();
  readonly #turns = new Turns();
  /** What whoever still waits for something else was given, by who it is: not asked for anew. */
  readonly #given = new Map<string, Map<string, StoredImage>>();
  readonly #room: ImageRoom;
  /** The files of contents that were begun and have not become images, which nobody fetches now; the first that was given up first. */
  readonly #parts = new Set<string>();
  /** How many downloads there are of each file. */
  readonly #underway = new Map<string, number>();

  constructor(options: ImageManagerOptions) {
    this.#options = options;
    this.#room = new ImageRoom({
      ...options,
      listKept: (folder) => this.#listKept(folder),
      givenUp: {
        list: () => [...this.#parts],
        forget: (name) => this.#parts.delete(name),
        discard: (name, signal) => this.#discard(name, signal),
      },
    });
  }

  list(signal: AbortSignal): Promise<readonly StoredImage[]> {
    return this.#options.store.list(signal);
  }

  /**
   * What making something from it would find now. Fails with IMAGE_NOT_FOUND where it may not be fetched, and as fetching does for what
   * can be told by its first bytes.
   */
  async foresee(want: ImageWant, signal: AbortSignal): Promise<ForeseenImage> {
    const stored = await this.#find(want, signal);
    if (stored !== undefined) return { stored, virtualBytes: stored.virtualBytes };
    assertMayFetch(want);
    await this.#assertAllowed(want, signal);
    const { store, fetcher, nodeSecrets, maxImageBytes: maxBytes } = this.#options;
    const credentials = await readCredentials(want, nodeSecrets, signal);
    const { start, totalBytes } = await fetcher.peek({ url: want.source, credentials }, signal);
    const format = want.isRaw ? 'raw' : undefined;
    const { virtualBytes } = store.foresee({
      url: want.source,
      start,
      totalBytes,
      format,
      maxBytes,
    });
    return { stored: undefined, virtualBytes };
  }

  /** One that is here. Fails with STATE_NOT_READY, which passes, if it is not. */
  async get(want: ImageWant, signal: AbortSignal): Promise<StoredImage> {
    const stored = await this.#find(want, signal);
    if (stored !== undefined) return stored;
    assertMayFetch(want);
    throw new AgentError(
      'STATE_NOT_READY',
      `Cannot use the image ${shownSource(want.source)}: it has gone from this node meanwhile, and is to be fetched again`,
      { retryAfterMs: 1_000 },
    );
  }

  /**
   * Has an image come, and says how far it is. To be asked again by the same `holder`: once nobody asks any more, the download ends
   * and goes on from there the next time. All who want the same get the same. Fails as fetching and keeping it do.
   */
  async want(want: ImageWant, holder: string, signal: AbortSignal): Promise<WantedImage> {
    const key = downloadKeyOf(want);
    const going = this.#downloads.get(key);
    // What has ended is for those who have waited for it.
    if (going !== undefined && (going.isGoingOn || going.isHeldBy(holder))) {
      return await this.#ask(key, going, holder, signal);
    }
    const stored = await this.#find(want, signal);
    const given = this.#given.get(holder)?.get(key);
    const isSettled = given !== undefined && given.digest === stored?.digest;
    if (stored !== undefined && (isSettled || want.pullPolicy !== 'Always')) {
      await this.#noteUse(stored, signal);
      return { kind: 'here', stored };
    }
    assertMayFetch(want);
    await this.#assertAllowed(want, signal);
    const begun = this.#downloads.get(key);
    const download = begun?.isGoingOn === true ? begun : this.#begin(key, want, stored);
    if (download !== begun) {
      const source = shownSource(want.source);
      this.#options.log.info({ source, digest: want.digest, wantedBy: holder }, 'Image is to come');
    }
    return await this.#ask(key, download, holder, signal);
  }

  /** Whoever wanted images wants them no more. */
  drop(holder: string): void {
    this.#given.delete(holder);
    for (const [key, download] of this.#downloads) {
      download.release(holder);
      if (download.isForNobody) this.#forget(key, download);
    }
  }

  /** Fails with IMAGE_NOT_FOUND, IMAGE_IN_USE, and IMAGE_UNREACHABLE. */
  async remove(digest: string, signal: AbortSignal): Promise<void> {
    await this.#options.store.remove(await this.#digestOf(digest, signal), signal);
  }

  async verify(digest: string, signal: AbortSignal): Promise<ImageVerdict> {
    const hex = await this.#digestOf(digest, signal);
    return await this.#options.store.verify(hex, signal);
  }

  /** Removes what has been left half done, and more than may be kept, from when `begin` settles until aborted. Give it to the task group. */
  async run(begin: Promise<void>, signal: AbortSignal): Promise<void> {
    // It starts a process, which would hold up what everybody waits for.
    await begin;
    await this.#room.tidy(signal);
    for (;;) {
      for (const [key, download] of this.#downloads) {
        download.releaseSilent(HOLD_MS);
        if (download.isForNobody) this.#forget(key, download);
      }
      await delay(HOLD_MS / 4, signal);
    }
  }

  #listKept(folder: string): readonly string[] {
    const wanted = this.#options
      .listWanted()
      .map((want) => path.join(folder, this.#fileNameOf(want)));
    return wanted.flatMap((file) => ENDINGS.map((ending) => file + ending));
  }

  /** The same for the same content, so that what was fetched of it is gone on with. */
  #fileNameOf(want: ImageWant): string {
    const { nodeName } = this.#options;
    const whole = `${nodeName}\n${keyOf(want)}`;
    return createHash('sha256').update(whole).digest('hex').slice(0, 32);
  }

  async #digestOf(text: string, signal: AbortSignal): Promise<string> {
    const hex = digestDigits(text);
    const found = (await this.list(signal)).filter(({ digest }) => digest.startsWith(hex));
    if (hex !== '' && found.length === 1) return found[0]?.digest ?? hex;
    throw new AgentError(
      'IMAGE_NOT_FOUND',
      found.length > 1 && hex !== ''
        ? `There is more than one image whose digest begins with ${text}; give more of it`
        : `There is no image with the digest ${text} on this node; novactl image list shows those that there are`,
    );
  }

  async #ask(
    key: string,
    download: Download,
    holder: string,
    signal: AbortSignal,
  ): Promise<WantedImage> {
    download.hold(holder);
    await download.settles(SOON_MS);
    if (download.isGoingOn) return { kind: 'coming', progress: download.progress };
    download.release(holder);
    if (download.isForNobody) this.#forget(key, download);
    const stored = await download.outcome;
    this.#given.set(holder, (this.#given.get(holder) ?? new Map()).set(key, stored));
    await this.#noteUse(stored, signal);
    return { kind: 'here', stored };
  }

  #forget(key: string, download: Download): void {
    download.end();
    if (this.#downloads.get(key) === download) this.#downloads.delete(key);
  }

  #begin(key: string, want: ImageWant, stored: StoredImage | undefined): Download {
    const name = this.#fileNameOf(want);
    this.#parts.delete(name);
    this.#underway.set(name, (this.#underway.get(name) ?? 0) + 1);
    // One that was given up may still be at work on the same file.
    const download: Download = new HeldWork(NOT_BEGUN, (tell, signal) =>
      this.#turns.take(name, () => this.#fetch(want, stored, tell, signal)),
    );
    this.#downloads.set(key, download);
    void this.#seeToRest(download, name);
    return download;
  }

  /** What has come of a content that is given up takes room at once. */
  async #seeToRest(download: Download, name: string): Promise<void> {
    const isWhole = await download.outcome.then(
      () => true,
      () => false,
    );
    const others = (this.#underway.get(name) ?? 1) - 1;
    if (others > 0) {
      // With another secret, or begun again; what comes of that decides.
      this.#underway.set(name, others);
      return;
    }
    this.#underway.delete(name);
    if (isWhole) return;
    this.#parts.add(name);
    await this.#room.trim(AbortSignal.timeout(TRIM_TIMEOUT_MS)).catch(() => undefined);
  }

  async #discard(name: string, signal: AbortSignal): Promise<void> {
    // Somebody may have begun it again, who goes on from there.
    if (!this.#parts.delete(name)) return;
    await this.#turns.take(name, () => this.#options.store.discardPart(name, signal));
  }

  async #fetch(
    want: ImageWant,
    stored: StoredImage | undefined,
    tell: (progress: ImageProgress) => void,
    signal: AbortSignal,
  ): Promise<StoredImage> {
    const { store, fetcher, host, maxImageBytes: maxBytes, now = Date.now, log } = this.#options;
    await using _slot = await this.#slots.take(want.source, signal);
    tell({ step: 'fetching', bytes: 0, totalBytes: undefined });
    const format = want.isRaw ? 'raw' : undefined;
    const url = want.source;
    const credentials = await readCredentials(want, this.#options.nodeSecrets, signal);
    const { start, totalBytes } = await fetcher.peek({ url, credentials }, signal);
    store.foresee({ url, start, totalBytes, format, maxBytes });
    await this.#room.tidy(signal);
    const known = stored?.origins.find((origin) => origin.url === url);
    const file = path.join(await store.prepare(signal), this.#fileNameOf(want));
    const fetched = await fetcher.fetch(
      {
        url,
        credentials,
        path: file,
        maxBytes,
        digest: want.digest && digestDigits(want.digest),
        knownVersion: known?.version,
      },
      (progress) => tell({ step: 'fetching', ...progress }),
      signal,
    );
    const checkedAtMs = now();
    if (fetched.isUnchanged) {
      if (stored === undefined || known === undefined) throw new Error('Nothing was known');
      await store.note(stored.digest, { origin: { ...known, checkedAtMs } }, signal);
      return stored;
    }
    const { bytes, digest, version } = fetched;
    tell({ step: 'checking', bytes, totalBytes: bytes });
    const origin: ImageOrigin = { url, version, fetchedAtMs: checkedAtMs, checkedAtMs };
    const { processOwner: owner } = await host.getInfo(signal);
    const image = await store.admit(
      { path: file, digest, format, origin, owner, maxBytes },
      signal,
    );
    log.info({ source: shownSource(url), digest, bytes }, 'Image fetched');
    await this.#room.trim(signal);
    return image;
  }

  /** Which of those that are here a want means. */
  async #find(want: ImageWant, signal: AbortSignal): Promise<StoredImage | undefined> {
    // The same bytes may be here as another thing; that is for who keeps them to refuse.
    const all = (await this.list(signal)).filter(({ format }) => !want.isRaw || format === 'raw');
    const digest = want.digest && digestDigits(want.digest);
    if (digest !== undefined) return all.find((image) => image.digest === digest);
    const fetchedAt = ({ origins }: StoredImage) =>
      Math.max(...origins.filter(({ url }) => url === want.source).map((one) => one.fetchedAtMs));
    const found = all.filter(({ origins }) => origins.some(({ url }) => url === want.source));
    return found.toSorted((left, right) => fetchedAt(right) - fetchedAt(left))[0];
  }

  async #noteUse({ digest, lastUsedAtMs }: StoredImage, signal: AbortSignal): Promise<void> {
    const { store, now = Date.now } = this.#options;
    // Who waits long for something else asks for it again and again.
    if (Math.abs(now() - lastUsedAtMs) < NOTED_MS) return;
    await store.note(digest, { usedAtMs: now() }, signal);
  }

  /** Of this node only what VMs may have. */
  async #assertAllowed({ source }: ImageWant, signal: AbortSignal): Promise<void> {
    if (!source.startsWith('file:')) return;
    const file = pathOfUrl(source);
    // Raw: its own bytes decide nothing here.
    const query = { path: file, kind: 'file', format: 'raw', isReadOnly: true } as const;
    const found = await this.#options.images.find({ ...query, user: undefined }, signal);
    if (found === undefined) {
      throw new AgentError(
        'IMAGE_NOT_FOUND',
        `Cannot take the image ${source}: ${file} does not exist on this node; put the file there or correct the path`,
      );
    }
    if (found.problem === undefined) return;
    throw new AgentError(
      found.problem.reason,
      `Cannot take the image ${source}: ${found.problem.text}`,
    );
  }
}

function assertMayFetch({ source, digest, pullPolicy }: ImageWant): void {
  if (pullPolicy !== 'Never') return;
  const which = digest === undefined ? shownSource(source) : `${shownSource(source)} (${digest})`;
  throw new AgentError(
    'IMAGE_NOT_FOUND',
    `Cannot use the image ${which}: it is not on this node, and pullPolicy is Never; fetch it with novactl image pull, or leave pullPolicy out`,
  );
}

/** Of what is gone on with, whoever asks for it. */
function keyOf({ source, digest = '', isRaw, pullPolicy }: ImageWant): string {
  return JSON.stringify([source, digest, isRaw, pullPolicy === 'Always']);
}

/** Of what all get who show the same: nobody gets what another has shown a secret for, or is refused for it. */
function downloadKeyOf(want: ImageWant): string {
  const { auth } = want;
  if (auth === undefined) return keyOf(want);
  const given = auth.given && createHash('sha256').update(auth.given).digest('hex');
  return JSON.stringify([keyOf(want), auth.name, given]);
}

function pathOfUrl(source: string): string {
  try {
    return fileURLToPath(source);
  } catch (error) {
    throw new AgentError(
      'INVALID_SPEC',
      `Cannot take the image ${source}: it is no path of a file`,
      {
        cause: error,
      },
    );
  }
}
