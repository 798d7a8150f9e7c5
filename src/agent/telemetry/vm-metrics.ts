import { Gauge, type Registry } from 'prom-client';
import { memoryBytesOf } from '../../core/resources/machine-amounts.ts';
import type { Vm, VmPhase } from '../vms/vm.ts';
import { UntypedGauge } from './untyped-gauge.ts';

const PHASES: Readonly<Record<VmPhase, true>> = {
  pending: true,
  running: true,
  paused: true,
  stopping: true,
  stopped: true,
  migrating: true,
  failed: true,
  unknown: true,
};

/** The VMs as last listed; a scrape asks nobody. While they are not known, nothing is exported of them. */
export function addVmMetrics(registry: Registry, snapshot: () => readonly Vm[] | undefined): void {
  registry.registerMetric(
    new UntypedGauge({
      name: 'novacron_vm_total',
      help: 'VMs of this node by phase',
      labelNames: ['phase'],
      registers: [],
      collect() {
        this.reset();
        const vms = snapshot();
        if (vms === undefined) return;
        for (const phase of Object.keys(PHASES)) this.set({ phase }, 0);
        for (const { phase } of vms) this.inc({ phase });
      },
    }),
  );
  addUsage(registry, snapshot, {
    name: 'novacron_vm_cpu_usage_cores',
    help: 'CPU that the VM uses, in cores',
    read: ({ statistics }) => statistics?.cpuUsageCores,
  });
  addUsage(registry, snapshot, {
    name: 'novacron_vm_memory_usage_bytes',
    help: 'Resident memory of the VM on this node',
    read: ({ statistics }) => statistics?.memoryRssBytes,
  });
  addUsage(registry, snapshot, {
    name: 'novacron_vm_memory_limit_bytes',
    help: 'Memory that the VM may have',
    read: ({ isRead, definition }) =>
      isRead ? memoryBytesOf(definition.spec.template.spec) : undefined,
  });
}

/** Also while they keep everything from being told. */
export function addUnidentifiedVms(registry: Registry, count: () => number | undefined): void {
  registry.registerMetric(
    new Gauge({
      name: 'novacron_unidentified_vms',
      help: 'VMs that libvirt cannot describe, so that it is not known whose they are',
      registers: [],
      collect() {
        const vms = count();
        if (vms === undefined) this.remove();
        else this.set(vms);
      },
    }),
  );
}

function addUsage(
  registry: Registry,
  snapshot: () => readonly Vm[] | undefined,
  metric: {
    readonly name: string;
    readonly help: string;
    readonly read: (vm: Vm) => number | undefined;
  },
): void {
  registry.registerMetric(
    new Gauge({
      name: metric.name,
      help: metric.help,
      labelNames: ['namespace', 'name'],
      registers: [],
      collect() {
        this.reset();
        for (const vm of snapshot() ?? []) {
          const value = metric.read(vm);
          const { namespace, name } = vm.definition;
          if (value !== undefined) this.set({ namespace, name }, value);
        }
      },
    }),
  );
}
