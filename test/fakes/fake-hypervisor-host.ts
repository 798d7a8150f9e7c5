import { randomUUID } from 'node:crypto';
import type {
  Accelerator,
  CpuModelProblem,
  Firmware,
  FirmwareProblem,
  HypervisorHost,
  HypervisorInfo,
  IncomingSocket,
  MachineParts,
  MachineProblem,
  WantedCpu,
} from '../../src/drivers/hypervisor-host.ts';
import type { FakeHypervisorCalls } from './fake-hypervisor-calls.ts';

/** A host that a hypervisor in memory pretends to be on. */
export class FakeHypervisorHost implements HypervisorHost {
  readonly hostname: string;
  readonly hostUuid = randomUUID();
  incomingSocket: IncomingSocket = { path: '/run/libvirt/libvirt-sock' };
  readonly #calls: FakeHypervisorCalls;

  constructor(hostname: string, calls: FakeHypervisorCalls) {
    this.hostname = hostname;
    this.#calls = calls;
  }

  /** What it lacks for every VM that comes. */
  cpuProblem: string | undefined;

  findCpuProblem(_cpu: string, _accelerator: string, signal: AbortSignal) {
    return this.#calls.perform('findCpuProblem', '', signal, () => this.cpuProblem);
  }

  /** Whether it has a place for keys of disks. */
  hasSecrets = true;
  /** Buses that disks can be on. */
  diskBuses: readonly string[] | undefined = ['ide', 'scsi', 'virtio', 'usb', 'sata'];

  keepsDiskKeys(signal: AbortSignal): Promise<boolean> {
    return this.#calls.perform('keepsDiskKeys', '', signal, () => this.hasSecrets);
  }

  listDiskBuses(signal: AbortSignal): Promise<readonly string[] | undefined> {
    return this.#calls.perform('listDiskBuses', '', signal, () => this.diskBuses);
  }

  /** What of a firmware it lacks. */
  lacking: readonly FirmwareProblem['part'][] = [];

  findFirmwareProblems(
    { type, secureBoot, tpm, nvram }: Firmware,
    signal: AbortSignal,
  ): Promise<readonly FirmwareProblem[]> {
    const asked = { type: type === 'uefi', secureBoot, tpm, nvram: nvram === 'reset' };
    return this.#calls.perform('findFirmwareProblems', '', signal, () =>
      this.lacking
        .filter((part) => asked[part])
        .map((part) => ({ part, description: 'is lacking here; install it' })),
    );
  }

  /** What of a machine it lacks. */
  lackingParts: readonly MachineProblem['field'][] = [];

  findMachineProblems(
    { watchdog, vsock, hyperv, memory }: MachineParts,
    _accelerator: Accelerator | undefined,
    signal: AbortSignal,
  ): Promise<readonly MachineProblem[]> {
    const asked = { 'watchdog.model': watchdog, vsock, hyperv, 'memory.max': memory?.max };
    return this.#calls.perform('findMachineProblems', '', signal, () =>
      this.lackingParts
        .filter((field) => asked[field] !== undefined)
        .map((field) => ({ field, description: 'is lacking here; leave it out' })),
    );
  }

  /** Knows all models and features but those that say so by their name. */
  findModelProblem(
    { model = '', features = [] }: WantedCpu,
    _accelerator: string,
    signal: AbortSignal,
  ): Promise<CpuModelProblem | undefined> {
    return this.#calls.perform('findModelProblem', '', signal, () => {
      if (model.startsWith('no-such')) {
        return { part: 'model' as const, description: `Unknown CPU model ${model}` };
      }
      const unknown = features.find((feature) => feature.slice(1).startsWith('no-such'));
      if (unknown === undefined) return undefined;
      return { part: 'features' as const, description: `Unknown CPU feature ${unknown.slice(1)}` };
    });
  }

  getInfo(signal: AbortSignal): Promise<HypervisorInfo> {
    return this.#calls.perform('getInfo', '', signal, () => ({
      hostname: this.hostname,
      hostUuid: this.hostUuid,
      uri: `fake://${this.hostname}`,
      libvirtVersion: '9.0.0',
      libraryVersion: '9.0.0',
      qemuVersion: '7.2.22',
      architecture: 'x86_64',
      accelerators: ['tcg'],
      machineTypes: ['pc-q35-7.2', 'q35'],
      cpuModel: 'qemu64',
      processOwner: undefined,
      incomingSocket: this.incomingSocket,
      features: [],
    }));
  }
}
