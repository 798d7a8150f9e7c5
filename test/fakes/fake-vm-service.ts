import { once } from 'node:events';
import { pageOf } from '../../src/agent/reports/paging.ts';
import type {
  Page,
  PageRequest,
  ReportOrigin,
  WatchCursor,
} from '../../src/agent/reports/report.ts';
import { ReportOriginSource } from '../../src/agent/reports/report-origin-source.ts';
import { WatchedSet } from '../../src/agent/reports/watched-set.ts';
import type {
  AdoptRequest,
  ApplyOptions,
  ApplyResult,
  ConsoleOptions,
  CreateOptions,
  CreateResult,
  DeleteOptions,
  DeleteOutcome,
  FieldChange,
  Vm,
  VmEvent,
  VmFilter,
  VmRef,
  VmService,
} from '../../src/agent/vms/vm.ts';
import { AgentError } from '../../src/core/errors.ts';
import { matchesLabels } from '../../src/core/label-selector.ts';
import { identityOf, parseVirtualMachine } from '../../src/core/resources/parse-virtual-machine.ts';
import type { VmDefinition } from '../../src/core/vm-definition.ts';
import { tinyVm } from '../fixtures/tiny-vm.ts';

export const NODE_BOOT = {
  nodeName: 'node-a',
  nodeBootId: '5f0c3c1e-9a3e-4f59-8f4c-0d5a3a4b1c2d',
} as const;

export const ORIGIN: ReportOrigin = { ...NODE_BOOT, agentEpoch: 7, revision: 42 };

export const VM_UID = '0b9d3c4e-1111-4222-8333-444455556666';

export function makeVm(
  name: string,
  changes: Partial<Vm> = {},
  definition: Partial<VmDefinition> = {},
): Vm {
  return {
    isRead: true,
    definition: tinyVm({
      namespace: 'default',
      name,
      uid: VM_UID,
      ownershipEpoch: 3,
      owner: 'c0ffee00-0000-4000-8000-000000000001',
      labels: { app: 'web' },
      ...definition,
    }),
    liveDefinition: undefined,
    phase: 'running',
    reason: '',
    message: '',
    conditions: [
      {
        type: 'Ready',
        status: 'true',
        reason: 'Running',
        message: '',
        lastTransitionAtMs: 1_790_000_000_000,
        observedGeneration: 1,
      },
    ],
    pendingChanges: [],
    drift: [],
    accelerator: 'kvm',
    machineType: 'pc-q35-7.2',
    volumes: [{ name: 'root', target: 'vda', path: '/images/root.qcow2', format: 'qcow2' }],
    interfaces: [
      {
        name: 'lan',
        mac: '02:00:00:00:00:01',
        bridge: 'br0',
        model: 'virtio',
        hostDevice: 'vnet0',
      },
    ],
    statistics: {
      cpuTimeNs: 9_007_199_254_740_991n,
      cpuUsageCores: 0.25,
      vcpus: 2,
      memoryActualBytes: 512 * 1024 ** 2,
      memoryRssBytes: 412 * 1024 ** 2 - 4096,
      diskReadBytes: 1n,
      diskWriteBytes: 2n,
      networkReceiveBytes: 3n,
      networkTransmitBytes: 4n,
      disks: [{ target: 'vda', virtualBytes: 20 * 1024 ** 3, allocatedBytes: 3 * 1024 ** 2 }],
    },
    migration: undefined,
    run: undefined,
    restart: undefined,
    origin: ORIGIN,
    ...changes,
  };
}

/** Answers with what it is told to, and remembers what it was asked. Lists and watches are those of the agent. */
export class FakeVmService implements VmService {
  readonly calls: { readonly method: string; readonly argument: unknown }[] = [];
  readonly signals: AbortSignal[] = [];
  warnings: readonly string[] = [];
  changes: readonly FieldChange[] = [];
  deletion: DeleteOutcome = 'deleted';
  /** Thrown by every call. */
  failure: unknown;
  /** Makes calls wait until their signal is aborted. */
  hangs = false;
  /** Makes hanging calls not listen to their signal either. */
  deaf = false;
  /** What watches yield, in place of what there is. */
  events: (() => AsyncIterable<VmEvent>) | undefined;
  console: (signal: AbortSignal) => Iterable<Uint8Array> | AsyncIterable<Uint8Array> = () => [
    Buffer.from('login: '),
  ];
  #reboots = 0;
  #origins = new ReportOriginSource({ ...NODE_BOOT, agentEpoch: ORIGIN.agentEpoch });
  #vms = new WatchedSet<Vm>(this.#origins);

  constructor() {
    this.put(makeVm('web'));
  }

  /** Adds or replaces a VM and tells the watchers. */
  put(vm: Vm): Vm {
    return this.#vms.put(keyOf(vm), vm);
  }

  remove(name: string): void {
    this.#vms.delete(`default/${name}`);
  }

  /** Has the VMs given, as an agent that has just started. */
  restart(...vms: readonly Vm[]): void {
    const { agentEpoch } = this.#origins.current();
    this.#origins = new ReportOriginSource({ ...NODE_BOOT, agentEpoch: agentEpoch + 1 });
    this.#vms = new WatchedSet(this.#origins);
    for (const vm of vms) this.put(vm);
  }

  async create(
    manifest: unknown,
    options: CreateOptions,
    signal: AbortSignal,
  ): Promise<CreateResult> {
    await this.#asked('create', { manifest, options }, signal);
    const { metadata } = parseVirtualMachine(manifest);
    return { vm: makeVm(metadata.name), warnings: this.warnings };
  }

  async apply(manifest: unknown, options: ApplyOptions, signal: AbortSignal): Promise<ApplyResult> {
    await this.#asked('apply', { manifest, options }, signal);
    const { name } = identityOf(manifest);
    const vm = this.#find(name);
    const { generation } = vm.definition;
    if (options.generation !== undefined && options.generation !== generation) {
      throw new AgentError(
        'GENERATION_MISMATCH',
        `VM ${name} has generation ${generation}, not ${options.generation}`,
      );
    }
    const outcome = this.changes.length === 0 ? 'unchanged' : 'changed';
    return { vm, outcome, changes: this.changes, warnings: this.warnings };
  }

  async planAdoption(request: AdoptRequest, signal: AbortSignal): Promise<CreateResult> {
    await this.#asked('planAdoption', request, signal);
    const { name } = request.vm;
    const kept = ['graphics spice'];
    return { vm: this.put({ ...makeVm(name), kept }), warnings: this.warnings };
  }

  async get(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#asked('get', ref, signal);
    return this.#find(ref.name);
  }

  async measure(vm: Vm, signal: AbortSignal): Promise<Vm> {
    await this.#asked('measure', vm.definition.name, signal);
    const sizes = { virtualBytes: 2 ** 30, allocatedBytes: 2 ** 20 };
    return { ...vm, diskSizes: vm.volumes.map(({ target }) => ({ target, ...sizes })) };
  }

  async list(filter: VmFilter, page: PageRequest, signal: AbortSignal): Promise<Page<Vm>> {
    await this.#asked('list', { filter, page }, signal);
    const matching = [...this.#vms.values()].filter(matcher(filter));
    return pageOf(
      matching.toSorted((left, right) => (keyOf(left) < keyOf(right) ? -1 : 1)),
      page,
      {
        keyOf,
        isAfter: (key, other) => key > other,
        filter,
        origin: this.#origins.current(),
      },
    );
  }

  async *watch(
    filter: VmFilter,
    cursor: WatchCursor | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<VmEvent, void, undefined> {
    await this.#asked('watch', { filter, cursor }, signal);
    if (this.events !== undefined) yield* this.events();
    else yield* this.#vms.watch(matcher(filter), cursor, signal);
  }

  /** Whatever is asked for can be done, unless the failure says otherwise. */
  async assertCan(_verb: string, ref: VmRef): Promise<Vm> {
    if (this.failure !== undefined) throw this.failure;
    return this.#find(ref.name);
  }

  findGone(): undefined {
    return undefined;
  }

  findKeptDisks(): undefined {
    return undefined;
  }

  async removeUnusedDisks(): Promise<void> {}

  async assertCanDelete(ref: VmRef): Promise<Vm> {
    return this.assertCan('delete', ref);
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

  async suspend(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#asked('suspend', ref, signal);
    return makeVm(ref.name, { phase: 'paused' });
  }

  async resume(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#asked('resume', ref, signal);
    return makeVm(ref.name);
  }

  async reset(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#asked('reset', ref, signal);
    return makeVm(ref.name);
  }

  async reboot(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#asked('reboot', ref, signal);
    this.#reboots += 1;
    return makeVm(ref.name);
  }

  rebootsOf(): number {
    return this.#reboots;
  }

  async stopToRestart(ref: VmRef, how: 'ask' | 'cut', signal: AbortSignal): Promise<Vm> {
    await this.#asked('stopToRestart', { ref, how }, signal);
    return makeVm(ref.name, { phase: 'stopped' });
  }

  async delete(ref: VmRef, options: DeleteOptions, signal: AbortSignal): Promise<DeleteOutcome> {
    await this.#asked('delete', { ref, options }, signal);
    return this.deletion;
  }

  async *readConsole(
    ref: VmRef,
    options: ConsoleOptions,
    signal: AbortSignal,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    await this.#asked('readConsole', { ref, options }, signal);
    yield* this.console(signal);
  }

  #find(name: string): Vm {
    const vm = this.#vms.get(`default/${name}`);
    if (vm !== undefined) return vm;
    throw new AgentError('VM_NOT_FOUND', `There is no VM ${name}`, { metadata: { name } });
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

function keyOf({ definition }: Vm): string {
  return `${definition.namespace}/${definition.name}`;
}

function matcher({ namespace, labels }: VmFilter): (vm: Vm) => boolean {
  return ({ definition }) =>
    (namespace === '' || definition.namespace === namespace) &&
    matchesLabels(labels, definition.labels);
}

async function untilAbort(signal: AbortSignal): Promise<void> {
  if (!signal.aborted) await once(signal, 'abort');
}
