import { Gauge, Registry } from 'prom-client';
import type { Migration } from '../migration/migration.ts';
import type { CertificateReport } from '../node/certificate-report.ts';
import type { ControllerState } from '../reconcile/reconciler.ts';
import type { Condition } from '../reports/report.ts';
import { listDown } from '../vms/down-vms.ts';
import type { Vm } from '../vms/vm.ts';
import { HypervisorMetrics, RpcMetrics } from './call-metrics.ts';
import { addControllerMetrics } from './controller-metrics.ts';
import { MigrationMetrics } from './migration-metrics.ts';
import {
  addCertificate,
  addDownVms,
  addNodeConditions,
  addNodeMemory,
  addStorage,
  type NodeMemory,
} from './node-metrics.ts';
import { addProcessMetrics, type Heartbeat } from './process-metrics.ts';
import { addUnidentifiedVms, addVmMetrics } from './vm-metrics.ts';

/** Where gauges come from at a scrape. All of it is in memory: a scrape waits for nothing and disturbs no VM. */
export interface MetricSources {
  readonly agentVersion: string;
  /** The VMs as last listed; undefined until they were. */
  readonly vms: () => readonly Vm[] | undefined;
  /** How many could not be read and may be this node's or not; undefined until it is known. */
  readonly unidentifiedVms: () => number | undefined;
  /** Memory of this node in bytes: what VMs may have, what they have been given, and what of that others' VMs have. */
  readonly memory: () => NodeMemory;
  readonly nodeConditions: () => readonly Condition[];
  /** What is free where the agent keeps what it knows; undefined while that is not known. */
  readonly storageAvailableBytes: () => number | undefined;
  /** Undefined where the node has no certificate. */
  readonly certificate: () => CertificateReport | undefined;
  readonly activeMigrations: (role: Migration['role']) => number;
  readonly hypervisorConnected: () => boolean;
  readonly controllers: () => readonly ControllerState[];
  readonly heartbeat: Heartbeat;
}

/** Everything that the agent measures. */
export class AgentMetrics {
  readonly rpc: RpcMetrics;
  readonly migrations: MigrationMetrics;
  readonly hypervisor: HypervisorMetrics;
  readonly #registry = new Registry();

  constructor(sources: MetricSources) {
    new Gauge({
      name: 'novacron_agent_info',
      help: 'The agent that runs; always 1',
      labelNames: ['version'],
      registers: [this.#registry],
    }).set({ version: sources.agentVersion }, 1);
    addVmMetrics(this.#registry, sources.vms);
    addUnidentifiedVms(this.#registry, sources.unidentifiedVms);
    addNodeMemory(this.#registry, sources.memory);
    addNodeConditions(this.#registry, sources.nodeConditions);
    addStorage(this.#registry, sources.storageAvailableBytes);
    addCertificate(this.#registry, sources.certificate);
    addDownVms(this.#registry, () => {
      const vms = sources.vms();
      return vms && listDown(vms);
    });
    this.migrations = new MigrationMetrics(this.#registry, sources.activeMigrations);
    this.hypervisor = new HypervisorMetrics(this.#registry, sources.hypervisorConnected);
    addControllerMetrics(this.#registry, sources.controllers);
    this.rpc = new RpcMetrics(this.#registry);
    addProcessMetrics(this.#registry, sources.heartbeat);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** All metrics in Prometheus' text format. */
  render(): Promise<string> {
    return this.#registry.metrics();
  }
}
