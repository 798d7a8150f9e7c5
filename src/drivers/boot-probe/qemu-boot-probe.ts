import { access, constants } from 'node:fs/promises';
import type { BootFinding, BootProbe } from '../boot-probe.ts';
import { bootPayload } from './boot-guest.ts';
import { findQemu } from './find-qemu.ts';
import { FindingFile } from './finding-file.ts';

export interface QemuBootProbeOptions {
  /** File that findings are kept in. */
  readonly file: string;
  /** A finding holds for one boot of the host and one kernel. */
  readonly bootId: string;
  readonly kernelRelease: string;
  readonly device?: string;
  readonly candidates?: readonly string[];
  readonly timeoutMs?: number;
  readonly architecture?: string;
}

const DEFAULT_TIMEOUT_MS = 10_000;

/** Boots a guest with the host's QEMU, as libvirt would. */
export class QemuBootProbe implements BootProbe {
  readonly #options: QemuBootProbeOptions;
  readonly #findings: FindingFile;

  constructor(options: QemuBootProbeOptions) {
    this.#options = options;
    this.#findings = new FindingFile(options.file);
  }

  async find(signal: AbortSignal): Promise<BootFinding> {
    signal.throwIfAborted();
    const { bootId, kernelRelease, device = '/dev/kvm', candidates } = this.#options;
    const { architecture = process.arch, timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
    const problem = await access(device, constants.R_OK | constants.W_OK).then(
      () => undefined,
      (error: NodeJS.ErrnoException) => error.code ?? error.message,
    );
    if (problem !== undefined) return no(`${device} cannot be opened (${problem})`);
    // The payload is for x86; elsewhere the device is trusted, as nested virtualization is rare there.
    if (architecture !== 'x64') return { boots: true, why: '' };
    const qemu = await findQemu(candidates);
    if (qemu === undefined) return no('there is no QEMU to try it with');
    const key = [bootId, kernelRelease, qemu.identity].join('\n');
    const known = await this.#findings.recall(key);
    if (known !== undefined) return known;
    const finding = await bootPayload({ qemu: qemu.path, accelerator: 'kvm', timeoutMs }, signal);
    await this.#findings.remember(key, finding);
    return finding;
  }
}

function no(why: string): BootFinding {
  return { boots: false, why };
}
