import { once } from 'node:events';
import type { ReportOrigin, WatchCursor, WatchEvent } from '../../src/agent/reports/report.ts';
import type {
  ConsoleOptions,
  Vm,
  VmFilter,
  VmList,
  VmRef,
  VmRequest,
  VmService,
} from '../../src/agent/vms/vm.ts';
import { AgentError } from '../../src/core/errors.ts';

export const ORIGIN: ReportOrigin = {
  nodeName: 'node-a',
  nodeBootId: '5f0c3c1e-9a3e-4f59-8f4c-0d5a3a4b1c2d',
  agentEpoch: 7,
  revision: 42,
};

export const VM_UID = '0b9d3c4e-1111-4222-8333-444455556666';

export function makeVm(name: string, changes: Partial<Vm> = {}): Vm {
  return {
    definition: {
      namespace: 'default',
      name,
      uid: VM_UID,
      generation: 1,
      ownershipEpoch: 3,
      labels: { app: 'web' },
      annotations: {},
      createdAtMs: 1_790_000_000_000,
      spec: {
        powerState: 'running',
        cpu: { vcpus: 2, model: undefined },
        memory: { sizeBytes: 512 * 1024 ** 2 },
        boot: { kind: 'firmware', firmware: 'uefi' },
        disks: [
          {
            name: 'root',
            target: 'vda',
            bus: 'virtio',
            format: 'qcow2',
            path: '/var/lib/images/root.qcow2',
            readOnly: false,
            shared: true,
            bootOrder: 1,
            cache: 'none',
          },
        ],
        machineType: undefined,
      },
    },
    phase: 'running',
    reason: '',
    message: '',
    conditions: [
      { type: 'Ready', status: 'true', reason: 'Running', message: '', lastTransitionAtMs: 1 },
    ],
    accelerator: 'kvm',
    machineType: 'pc-q35-7.2',
    statistics: {
      cpuTimeNs: 18_446_744_073_709_551_615n,
      cpuUsageCores: 0.5,
      vcpus: 2,
      memoryActualBytes: 512 * 1024 ** 2,
      memoryRssBytes: 400 * 1024 ** 2,
      diskReadBytes: 1n,
      diskWriteBytes: 2n,
      networkReceiveBytes: 3n,
      networkTransmitBytes: 4n,
    },
    migrationId: undefined,
    origin: ORIGIN,
    ...changes,
  };
}

/** Answers with what it is told to, and remembers what it was asked. */
export class FakeVmService implements VmService {
  readonly calls: { readonly method: string; readonly argument: unknown }[] = [];
  readonly signals: AbortSignal[] = [];
  vms: Vm[] = [makeVm('web')];
  /** Thrown by every call. */
  failure: unknown;
  /** Makes calls wait until their signal is aborted. */
  hangs = false;
  /** Makes hanging calls not listen to their signal either. */
  deaf = false;
  /** What watches yield, in place of one event for each VM. */
  events: (() => AsyncIterable<WatchEvent<Vm>>) | undefined;
  console: () => Iterable<Uint8Array> = () => [Buffer.from('login: ')];

  async create(request: VmRequest, options: { dryRun: boolean }, signal: AbortSignal): Promise<Vm> {
    await this.#asked('create', { request, options }, signal);
    return makeVm(request.name);
  }

  async get(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#asked('get', ref, signal);
    const vm = this.vms.find(({ definition }) => definition.name === ref.name);
    if (vm !== undefined) return vm;
    throw new AgentError('VM_NOT_FOUND', `There is no VM ${ref.name}`, {
      metadata: { name: ref.name },
    });
  }

  async list(filter: VmFilter, signal: AbortSignal): Promise<VmList> {
    await this.#asked('list', filter, signal);
    return { vms: this.vms, origin: ORIGIN };
  }

  async *watch(
    filter: VmFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<Vm>, void, undefined> {
    await this.#asked('watch', { filter, cursor }, signal);
    if (this.events !== undefined) {
      yield* this.events();
      return;
    }
    for (const object of this.vms) yield { type: 'added', object, origin: ORIGIN };
    yield { type: 'synced', origin: ORIGIN };
    await untilAbort(signal);
  }

  async start(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#asked('start', ref, signal);
    return makeVm(ref.name);
  }

  async shutdown(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#asked('shutdown', ref, signal);
    return makeVm(ref.name, { phase: 'stopping' });
  }

  async destroy(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#asked('destroy', ref, signal);
    return makeVm(ref.name, { phase: 'stopped' });
  }

  async delete(ref: VmRef, options: { force: boolean }, signal: AbortSignal): Promise<void> {
    await this.#asked('delete', { ref, options }, signal);
  }

  async *readConsole(
    ref: VmRef,
    options: ConsoleOptions,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#asked('readConsole', { ref, options }, signal);
    yield* this.console();
  }

  async #asked(method: string, argument: unknown, signal: AbortSignal): Promise<void> {
    this.calls.push({ method, argument });
    this.signals.push(signal);
    if (this.failure !== undefined) throw this.failure;
    if (this.deaf) await new Promise<never>(() => undefined);
    if (this.hangs) {
      await untilAbort(signal);
      signal.throwIfAborted();
    }
  }
}

export async function untilAbort(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}
