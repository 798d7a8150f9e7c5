import { Gauge } from 'prom-client';

/**
 * A gauge that is exported without saying so: its name ends in `_total`, as dashboards expect it, which the
 * conventions keep for counters.
 */
export class UntypedGauge<T extends string> extends Gauge<T> {
  override async get(): ReturnType<Gauge<T>['get']> {
    return Object.assign(await super.get(), { type: 'untyped' });
  }
}
