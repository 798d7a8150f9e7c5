import { Gauge, type Registry } from 'prom-client';
import type { CertificateReport } from '../node/certificate-report.ts';
import type { Condition } from '../reports/report.ts';
import type { DownVm } from '../vms/down-vms.ts';

export interface NodeMemory {
  readonly allocatableBytes: number;
  readonly allocatedBytes: number;
  readonly foreignBytes: number;
}

const FIGURES: readonly {
  readonly figure: keyof NodeMemory;
  readonly name: string;
  readonly help: string;
}[] = [
  {
    figure: 'allocatableBytes',
    name: 'novacron_node_memory_allocatable_bytes',
    help: 'Memory of the node that VMs may have',
  },
  {
    figure: 'allocatedBytes',
    name: 'novacron_node_memory_allocated_bytes',
    help: 'Memory of the node that VMs and reservations have been given, others’ VMs included',
  },
  {
    figure: 'foreignBytes',
    name: 'novacron_node_memory_foreign_bytes',
    help: 'Memory of the node that VMs have that no agent has made',
  },
];

/** What is not known is not exported. */
function addGauge(
  registry: Registry,
  { name, help }: { readonly name: string; readonly help: string },
  read: () => number | undefined,
): void {
  registry.registerMetric(
    new Gauge({
      name,
      help,
      registers: [],
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    }),
  );
}

/** What the node's memory has been given to, as the agent reckons it. */
export function addNodeMemory(registry: Registry, read: () => NodeMemory): void {
  for (const { figure, ...gauge } of FIGURES) addGauge(registry, gauge, () => read()[figure]);
}

const STATUSES: readonly Condition['status'][] = ['true', 'false', 'unknown'];

/** Each condition of the node, as `novactl node get` shows them. */
export function addNodeConditions(registry: Registry, read: () => readonly Condition[]): void {
  registry.registerMetric(
    new Gauge({
      name: 'novacron_node_condition',
      help: 'Conditions of the node; 1 for the status that each has',
      labelNames: ['condition', 'status'],
      registers: [],
      collect() {
        this.reset();
        for (const { type: condition, status } of read()) {
          for (const other of STATUSES)
            this.set({ condition, status: other }, other === status ? 1 : 0);
        }
      },
    }),
  );
}

/** What is free on the disk of the state directory. */
export function addStorage(registry: Registry, read: () => number | undefined): void {
  const name = 'novacron_node_storage_available_bytes';
  const help = 'What is free on the file system of the state directory';
  addGauge(registry, { name, help }, read);
}

const CERTIFICATE_TIMES: readonly {
  readonly figure: 'expiresAtMs' | 'lifetimeMs';
  readonly name: string;
  readonly help: string;
}[] = [
  {
    figure: 'expiresAtMs',
    name: 'novacron_node_certificate_expiry_timestamp_seconds',
    help: "When the node's certificate expires, in seconds since 1970; none where the node is alone",
  },
  {
    figure: 'lifetimeMs',
    name: 'novacron_node_certificate_lifetime_seconds',
    help: "How long the node's certificate is valid in all; none where the node is alone",
  },
];

export function addCertificate(
  registry: Registry,
  read: () => CertificateReport | undefined,
): void {
  for (const { figure, ...gauge } of CERTIFICATE_TIMES) {
    addGauge(registry, gauge, () => {
      const report = read();
      return report && report[figure] / 1_000;
    });
  }
}

/** While VMs are not known, nothing is exported of them. */
export function addDownVms(registry: Registry, list: () => readonly DownVm[] | undefined): void {
  registry.registerMetric(
    new Gauge({
      name: 'novacron_vms_down',
      help: 'VMs that should run and do not, by what they wait for',
      labelNames: ['reason'],
      registers: [],
      collect() {
        this.reset();
        for (const { reason } of list() ?? []) this.inc({ reason });
      },
    }),
  );
}
