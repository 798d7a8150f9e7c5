import { hasReason } from '../../core/errors.ts';
import type { DomainRecord } from './domain-statistics.ts';
import type { DriverCalls } from './driver-calls.ts';
import type { DriverSupervisor } from './driver-supervisor.ts';

interface FullStorageOptions {
  readonly driver: Pick<DriverSupervisor, 'call'>;
  readonly calls: DriverCalls;
}

/** What QEMU has told stays so while the guest is paused; a guest that has gone on in between may be paused for something else. */
const ASK_AGAIN_MS = 5_000;

/** Tells of guests that a disk error has paused whether their storage is full: libvirt's state says only that there was an error. */
export class FullStorage {
  readonly #options: FullStorageOptions;
  readonly #timeoutMs: number;
  readonly #known = new Map<string, { readonly isFull: boolean; readonly askAtMs: number }>();

  constructor(options: FullStorageOptions, timeoutMs: number) {
    this.#options = options;
    this.#timeoutMs = timeoutMs;
  }

  /** Only of a domain that is paused by a disk error. False where libvirt does not tell. */
  async isBehind({ uid }: DomainRecord, signal: AbortSignal): Promise<boolean> {
    const { driver, calls } = this.#options;
    const known = this.#known.get(uid);
    if (known !== undefined && known.askAtMs > performance.now()) return known.isFull;
    const options = { action: `read ${calls.nameOf(uid)}`, uid, timeoutMs: this.#timeoutMs };
    let isFull = known?.isFull ?? false;
    try {
      isFull = await driver.call('isStorageFull', [uid], options, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (hasReason(error, 'HYPERVISOR_UNREACHABLE')) throw error;
    }
    this.#known.set(uid, { isFull, askAtMs: performance.now() + ASK_AGAIN_MS });
    return isFull;
  }

  keepOnly(records: readonly DomainRecord[]): void {
    const uids = new Set(records.map(({ uid }) => uid));
    for (const uid of this.#known.keys()) if (!uids.has(uid)) this.#known.delete(uid);
  }
}
