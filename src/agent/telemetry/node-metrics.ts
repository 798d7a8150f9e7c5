import { Gauge, type Registry } from 'prom-client';

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

/** What the node's memory has been given to, as the agent reckons it. */
export function addNodeMemory(registry: Registry, read: () => NodeMemory): void {
  for (const { figure, name, help } of FIGURES) {
    registry.registerMetric(
      new Gauge({
        name,
        help,
        registers: [],
        collect() {
          this.set(read()[figure]);
        },
      }),
    );
  }
}
