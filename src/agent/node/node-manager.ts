import { isDeepStrictEqual } from 'node:util';
import { delay } from '../../core/delay.ts';
import { LatestValue } from '../../core/latest-value.ts';
import type { Logger } from '../../core/logger.ts';
import type { HostFacts } from '../../drivers/host.ts';
import type { Hypervisor } from '../../drivers/hypervisor.ts';
import type { HypervisorInfo } from '../../drivers/hypervisor-host.ts';
import type { JournalHealth } from '../journal/journal.ts';
import type { ReportOrigin } from '../reports/report.ts';
import type { Vm } from '../vms/vm.ts';
import type { Node, NodeService, Resources } from './node.ts';
import { type Connection, nodeConditions } from './node-conditions.ts';

export interface NodeManagerOptions {
  readonly identity: Pick<
    Node,
    'name' | 'agentVersion' | 'peerProtocolMin' | 'peerProtocolMax' | 'advertiseAddress'
  >;
  /** What VMs may have in all: the host's less what is reserved. */
  readonly capacity: Resources;
  /** `auto` takes kvm where the hypervisor offers it. */
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  readonly host: HostFacts;
  readonly hypervisor: Hypervisor;
  readonly origins: { current(): ReportOrigin; next(): ReportOrigin };
  /** The VMs as last listed; undefined until they were. Must cost nothing. */
  readonly listVms: () => readonly Vm[] | undefined;
  /** Memory promised to these VMs, and set aside for others. */
  readonly allocatedMemoryBytes: (vms: readonly Vm[]) => number;
  readonly journalHealth: () => JournalHealth;
  readonly log: Logger;
  readonly now?: () => number;
}

// Finds what nobody tells of: VMs that came and went, a full disk, a hypervisor that is back.
const REVIEW_INTERVAL_MS = 2_000;

/** Keeps what is known about this node, from memory: a call never waits for the hypervisor. */
export class NodeManager implements NodeService {
  readonly #options: NodeManagerOptions;
  readonly #now: () => number;
  readonly #startedAtMs: number;
  readonly #latest: LatestValue<Node>;
  #info: HypervisorInfo | undefined;
  #connection: Connection = { state: 'unknown', message: '' };

  constructor(options: NodeManagerOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#startedAtMs = this.#now();
    this.#latest = new LatestValue(this.#describe([], options.origins.current()));
  }

  get connected(): boolean {
    return this.#connection.state === 'connected';
  }

  /** Follows the hypervisor until aborted. Give it to the task group. */
  async run(signal: AbortSignal): Promise<void> {
    await Promise.all([this.#followConnection(signal), this.#reviewRepeatedly(signal)]);
  }

  async get(signal: AbortSignal): Promise<Node> {
    signal.throwIfAborted();
    this.review();
    return this.#latest.value;
  }

  watch(signal: AbortSignal): AsyncIterable<Node> {
    this.review();
    return this.#latest.watch(signal);
  }

  /** Looks at all that makes up the node and tells watchers if something has changed. */
  review(): void {
    const before = this.#latest.value;
    const node = this.#describe(before.conditions, before.origin);
    if (isDeepStrictEqual(node, before)) return;
    this.#latest.set({ ...node, origin: this.#options.origins.next() });
  }

  async #followConnection(signal: AbortSignal): Promise<void> {
    for await (const event of this.#options.hypervisor.events.watch(signal)) {
      if (event.kind === 'connected') await this.#readInfo(signal);
      if (event.kind === 'disconnected') this.#disconnected(event.error);
    }
  }

  async #reviewRepeatedly(signal: AbortSignal): Promise<void> {
    for (;;) {
      if (!this.connected) await this.#readInfo(signal);
      this.review();
      await delay(REVIEW_INTERVAL_MS, signal);
    }
  }

  async #readInfo(signal: AbortSignal): Promise<void> {
    try {
      this.#info = await this.#options.hypervisor.host.getInfo(signal);
      this.#connection = { state: 'connected', message: '' };
      this.review();
    } catch (error) {
      signal.throwIfAborted();
      this.#disconnected(error);
    }
  }

  #disconnected(error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    if (this.connected) this.#options.log.warn({ err: error }, 'Hypervisor is not connected');
    this.#connection = { state: 'disconnected', message };
    this.review();
  }

  #describe(conditions: Node['conditions'], origin: ReportOrigin): Node {
    const { identity, capacity, host, listVms, journalHealth } = this.#options;
    const vms = listVms();
    const active = vms?.filter(({ phase }) => phase !== 'stopped' && phase !== 'failed') ?? [];
    const connection = this.#connection;
    return {
      ...identity,
      uid: this.#info?.hostUuid ?? '',
      hypervisorConnected: connection.state === 'connected',
      hypervisor: this.#info,
      accelerator: this.#accelerator(),
      operatingSystem: {
        prettyName: host.operatingSystem,
        kernelRelease: host.kernelRelease,
        hostname: host.hostname,
      },
      capacity,
      allocated: {
        cpus: active.reduce((sum, { definition }) => sum + definition.spec.cpu.vcpus, 0),
        memoryBytes: this.#options.allocatedMemoryBytes(vms ?? []),
      },
      conditions: nodeConditions(
        { connection, vmsListed: vms !== undefined, journal: journalHealth() },
        conditions,
        this.#now(),
      ),
      runningVms: active.filter(({ phase }) => phase !== 'pending' && phase !== 'unknown').length,
      agentStartedAtMs: this.#startedAtMs,
      origin,
    };
  }

  #accelerator(): Node['accelerator'] {
    const { accelerator } = this.#options;
    if (accelerator !== 'auto') return accelerator;
    return this.#info?.accelerators.includes('kvm') === true ? 'kvm' : 'tcg';
  }
}
