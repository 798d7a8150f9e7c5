import type { Controller } from './reconcile/controller.ts';
import { IoErrorController } from './runs/io-error-controller.ts';
import { RunStrategyController } from './runs/run-strategy-controller.ts';
import { DriftController } from './vms/drift-controller.ts';
import { EjectedMediaController } from './vms/ejected-media-controller.ts';
import { LiveChangeController } from './vms/live-change-controller.ts';
import { OrphanedFileController } from './vms/orphaned-file-controller.ts';
import { RemainsController } from './vms/remains-controller.ts';
import { StaleCopyController } from './vms/stale-copy-controller.ts';
import { StrayCopyController } from './vms/stray-copy-controller.ts';
import { UnconfirmedController } from './vms/unconfirmed-controller.ts';

type PartsOf<C extends new (parts: never) => unknown> = ConstructorParameters<C>[0];

/** What sees to VMs of which nobody has asked for anything just now, in the order in which they are asked. */
export function vmControllers(
  parts: PartsOf<typeof StaleCopyController> &
    PartsOf<typeof StrayCopyController> &
    PartsOf<typeof UnconfirmedController> &
    PartsOf<typeof RunStrategyController> &
    PartsOf<typeof IoErrorController> &
    PartsOf<typeof DriftController> &
    PartsOf<typeof EjectedMediaController> &
    PartsOf<typeof LiveChangeController> &
    PartsOf<typeof RemainsController> &
    PartsOf<typeof OrphanedFileController>,
): readonly Controller[] {
  return [
    new StaleCopyController(parts),
    new StrayCopyController(parts),
    new UnconfirmedController(parts),
    new RunStrategyController(parts),
    new IoErrorController(parts),
    new DriftController(parts),
    new EjectedMediaController(parts),
    new LiveChangeController(parts),
    new RemainsController(parts),
    new OrphanedFileController(parts),
  ];
}
