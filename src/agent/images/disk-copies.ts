import { isDeepStrictEqual } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import { HeldWork } from '../../core/held-work.ts';
import type { Logger } from '../../core/logger.ts';
import type { MadeDisk } from '../../core/made-disks.ts';
import { Slots } from '../../core/slots.ts';
import { Turns } from '../../core/turns.ts';
import type { CopyProgress, DiskFiles } from '../../drivers/disk-files.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';

export interface DiskCopiesOptions {
  readonly files: Pick<DiskFiles, 'copy' | 'discardCopy'>;
  readonly host: Pick<HypervisorHost, 'getInfo'>;
  readonly log: Logger;
}

/** How far a copy is that is waited for. */
export type WantedCopy =
  | { readonly kind: 'ready' }
  /** Without progress it waits for its turn. */
  | { readonly kind: 'coming'; readonly progress: CopyProgress | undefined };

interface Copy {
  readonly disk: MadeDisk;
  readonly work: HeldWork<CopyProgress | undefined, void>;
}

/** More at once would only share the storage, which running VMs need too. */
const AT_ONCE = 2;
/** So long whoever asks is kept waiting: small images are copied at once. */
const SOON_MS = 250;
const DISCARD_TIMEOUT_MS = 15_000;

/** Copies images into the disks that VMs are to have, beside everything else that is done to VMs, and knows which of them are whole. */
export class DiskCopies {
  readonly #options: DiskCopiesOptions;
  readonly #slots = new Slots(AT_ONCE);
  /** One at a time at each disk. */
  readonly #turns = new Turns();
  /** By the path of the disk. Those that are whole as well, until they are made disks of. */
  readonly #copies = new Map<string, Copy>();

  constructor(options: DiskCopiesOptions) {
    this.#options = options;
  }

  /**
   * Has the image of a disk copied, and says how far it is. To be asked again by the same `holder`, until that is dropped. Fails as
   * copying does; the next who asks has it begun anew.
   */
  async want(disk: MadeDisk, holder: string): Promise<WantedCopy> {
    const known = this.#copies.get(disk.path);
    const isKnown = known !== undefined && isDeepStrictEqual(known.disk, disk);
    const { work } = isKnown ? known : this.#begin(disk, holder);
    work.hold(holder);
    await work.settles(SOON_MS);
    if (work.isGoingOn) return { kind: 'coming', progress: work.progress };
    try {
      await work.outcome;
    } catch (error) {
      if (this.#copies.get(disk.path)?.work === work) this.#forget(disk.path);
      throw error;
    }
    return { kind: 'ready' };
  }

  /** Whoever wanted copies wants them no more, or has them. Those that nobody else wants are ended and thrown away. */
  drop(holder: string): void {
    for (const [path, { work }] of this.#copies) {
      work.release(holder);
      if (work.isForNobody) this.#forget(path);
    }
  }

  /** Fails with STATE_NOT_READY, which passes, where an image was not copied, or another one was. */
  assertReady(disk: MadeDisk): void {
    const known = this.#copies.get(disk.path);
    if (known?.work.isGoingOn === false && isDeepStrictEqual(known.disk, disk)) return;
    throw new AgentError(
      'STATE_NOT_READY',
      `Cannot make the disk ${disk.path}: its image has changed meanwhile, and is to be copied again`,
      { retryAfterMs: 1_000 },
    );
  }

  /** What was copied for a disk is that disk now. */
  taken(path: string): void {
    this.#copies.delete(path);
  }

  /** Removes what an agent has left of a copy that was killed. One that is being made, or is wanted, stays. */
  async discardLeft(path: string, signal: AbortSignal): Promise<void> {
    if (this.#copies.has(path)) return;
    await this.#turns.take(path, async () => {
      // One may have begun meanwhile, which throws away what is left by itself.
      if (!this.#copies.has(path)) await this.#options.files.discardCopy(path, signal);
    });
  }

  #begin(disk: MadeDisk, holder: string): Copy {
    const { path } = disk;
    this.#copies.get(path)?.work.end();
    const work: Copy['work'] = new HeldWork<CopyProgress | undefined, void>(
      undefined,
      (tell, signal) =>
        // What was given up may still be about to end.
        this.#turns.take(path, () => this.#copy(disk, tell, signal)),
    );
    const copy = { disk, work };
    this.#copies.set(path, copy);
    const { digest } = disk.image ?? {};
    this.#options.log.info({ path, digest, wantedBy: holder }, 'Image is to be copied');
    return copy;
  }

  async #copy(
    disk: MadeDisk,
    tell: (progress: CopyProgress) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { files, host, log } = this.#options;
    await using _slot = await this.#slots.take(signal);
    const { processOwner: owner } = await host.getInfo(signal);
    const begunAtMs = performance.now();
    await files.copy({ ...disk, owner }, tell, signal);
    const durationMs = Math.round(performance.now() - begunAtMs);
    log.info({ path: disk.path, durationMs }, 'Image copied');
  }

  #forget(path: string): void {
    this.#copies.get(path)?.work.end();
    this.#copies.delete(path);
    this.discardLeft(path, AbortSignal.timeout(DISCARD_TIMEOUT_MS)).catch((error: unknown) => {
      // The next agent finds it.
      this.#options.log.warn({ path, err: error }, 'Could not remove a copy that nobody wants');
    });
  }
}
