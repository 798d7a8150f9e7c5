import type { DiskUse } from '../../drivers/hypervisor-statistics.ts';
import type { ImageInspector } from '../../drivers/images.ts';
import type { Vm } from './vm.ts';

/** Whoever asks for a VM is not kept waiting for storage that does not answer. */
const PATIENCE_MS = 2_000;

/** Looks how large the disks of a VM are that is off. What runs is asked of the hypervisor, with all else that it uses. */
export class DiskSizes {
  readonly #images: Pick<ImageInspector, 'measure'>;

  constructor(images: Pick<ImageInspector, 'measure'>) {
    this.#images = images;
  }

  /** The VM with them; as it is where it runs. Of a disk that cannot be looked at it says nothing. */
  async measure(vm: Vm, signal: AbortSignal): Promise<Vm> {
    if (vm.statistics !== undefined || vm.volumes.length === 0) return vm;
    const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
    const found = await Promise.all(vm.volumes.map((volume) => this.#find(volume, patience)));
    signal.throwIfAborted();
    return { ...vm, diskSizes: found.filter((each) => each !== undefined) };
  }

  async #find(
    { target, path, format }: Vm['volumes'][number],
    signal: AbortSignal,
  ): Promise<DiskUse | undefined> {
    if (path === undefined || (format !== 'raw' && format !== 'qcow2')) return undefined;
    try {
      const size = await this.#images.measure({ path, format }, signal);
      return size && { target, ...size };
    } catch {
      return undefined;
    }
  }
}
