import type { VmStatistics } from '../../drivers/hypervisor-statistics.ts';
import type { VmUsage } from './vm.ts';

/** Shorter intervals make the usage jump. */
const MIN_SAMPLE_MS = 500;

interface CpuSample {
  readonly cpuTimeNs: bigint;
  readonly takenAtMs: number;
  readonly usageCores: number;
}

/** Works out the CPU usage of VMs from their CPU time, sample by sample. */
export class CpuUsage {
  readonly #samples = new Map<string, CpuSample>();

  /** Takes a sample. */
  measure(uid: string, statistics: VmStatistics): VmUsage {
    const { cpuTimeNs } = statistics;
    const takenAtMs = performance.now();
    const last = this.#samples.get(uid);
    // A VM that has used less than before was started anew.
    if (last === undefined || cpuTimeNs < last.cpuTimeNs) {
      this.#samples.set(uid, { cpuTimeNs, takenAtMs, usageCores: 0 });
      return { ...statistics, cpuUsageCores: 0 };
    }
    const elapsedMs = takenAtMs - last.takenAtMs;
    if (elapsedMs < MIN_SAMPLE_MS) return { ...statistics, cpuUsageCores: last.usageCores };
    const usageCores = Number(cpuTimeNs - last.cpuTimeNs) / 1e6 / elapsedMs;
    this.#samples.set(uid, { cpuTimeNs, takenAtMs, usageCores });
    return { ...statistics, cpuUsageCores: usageCores };
  }

  forget(uid: string): void {
    this.#samples.delete(uid);
  }
}
