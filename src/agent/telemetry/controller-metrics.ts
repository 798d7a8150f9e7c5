import { Counter, Gauge, type Registry } from 'prom-client';
import type { ControllerState } from '../reconcile/reconciler.ts';

/** How what keeps VMs as they should be fares, controller by controller. */
export function addControllerMetrics(
  registry: Registry,
  states: () => readonly ControllerState[],
): void {
  const gauge = (name: string, help: string, read: (state: ControllerState) => number): void => {
    registry.registerMetric(
      new Gauge({
        name,
        help,
        labelNames: ['controller'],
        registers: [],
        collect() {
          for (const state of states()) this.set({ controller: state.name }, read(state));
        },
      }),
    );
  };
  gauge(
    'novacron_controller_depth',
    'VMs for which a step is due or being taken',
    ({ depth }) => depth,
  );
  gauge(
    'novacron_controller_oldest_age_seconds',
    'How long the oldest step that is due has been so',
    ({ oldestAgeMs }) => oldestAgeMs / 1_000,
  );
  gauge(
    'novacron_controller_failing_vms',
    'VMs for which the last step has failed, so that it is tried again',
    ({ failing }) => failing,
  );
  registry.registerMetric(
    new Counter({
      name: 'novacron_controller_retries_total',
      help: 'Steps that have failed, each of which is tried again',
      labelNames: ['controller'],
      registers: [],
      collect() {
        this.reset();
        for (const { name, retries } of states()) this.inc({ controller: name }, retries);
      },
    }),
  );
}
