import type { Logger } from '../../core/logger.ts';
import { isReadOnly } from '../../core/resources/volume.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { DiskProbe } from '../../drivers/disk-probe.ts';
import type { Look } from '../reconcile/controller.ts';

export interface DeviceIdentitiesOptions {
  readonly diskProbe: Pick<DiskProbe, 'mark'>;
  readonly looks: (signal: AbortSignal) => AsyncIterable<Look>;
  readonly onChange: () => void;
  readonly log: Logger;
}

/** A volume of a VM on a block device that several nodes can write to. */
export interface SharedDevice {
  readonly name: string;
  readonly path: string;
}

/** A name that a device has, or has not, it keeps unless somebody attaches another one. */
const MAX_AGE_MS = 300_000;

/**
 * Which shared block devices of VMs have nothing by which another node could tell that it has the same one: a migration would be
 * refused for that, so it is said before.
 */
export class DeviceIdentities {
  readonly #options: DeviceIdentitiesOptions;
  /** What was found, by path; times are by the clock that nobody sets. */
  readonly #found = new Map<string, { readonly problem: string; readonly atMs: number }>();

  constructor(options: DeviceIdentitiesOptions) {
    this.#options = options;
  }

  /** Why it cannot be told what the device under a path is; empty if it can, or nobody has looked. Costs nothing. */
  problemOf(path: string): string {
    return this.#found.get(path)?.problem ?? '';
  }

  /** Looks at the devices of VMs that are new, and at all now and then, until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { looks, log } = this.#options;
    for await (const { vms } of looks(signal)) {
      const devices = vms.flatMap(({ vm }) =>
        vm?.isRead === true ? sharedDevices(vm.definition) : [],
      );
      await this.#look(new Set(devices.map(({ path }) => path)), signal).catch((error: unknown) => {
        signal.throwIfAborted();
        log.debug({ err: error }, 'Cannot look at the devices of VMs');
      });
    }
  }

  async #look(wanted: ReadonlySet<string>, signal: AbortSignal): Promise<void> {
    const { diskProbe, onChange } = this.#options;
    for (const path of this.#found.keys()) if (!wanted.has(path)) this.#found.delete(path);
    const nowMs = performance.now();
    const paths = [...wanted].filter((path) => {
      const found = this.#found.get(path);
      return found === undefined || nowMs - found.atMs > MAX_AGE_MS;
    });
    if (paths.length === 0) return;
    const places = paths.map((path) => ({ kind: 'block', path, format: 'raw' }) as const);
    // As the source of a migration does, for which it does not matter what else is made of the device here.
    await using marked = await diskProbe.mark(places, signal);
    let isNew = false;
    for (const [index, path] of paths.entries()) {
      const image = marked.images[index];
      // Whatever else keeps it from being looked at may be over by then.
      const isNameless = image?.kind === 'unknown' && image.isNameless === true;
      const problem = isNameless ? image.problem : '';
      isNew ||= this.problemOf(path) !== problem;
      this.#found.set(path, { problem, atMs: nowMs });
    }
    if (isNew) onChange();
  }
}

/** What several nodes can write to, and on which QEMU's locks do not hold between them. */
export function sharedDevices({ spec }: VmDefinition): readonly SharedDevice[] {
  return (spec.template.spec.volumes ?? []).flatMap((volume) => {
    const path = volume.source?.block?.path;
    return path === undefined || volume.shared !== true || isReadOnly(volume)
      ? []
      : [{ name: volume.name, path }];
  });
}
