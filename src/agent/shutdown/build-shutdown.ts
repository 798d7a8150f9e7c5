import { GuestShutdowns, type GuestShutdownsOptions } from './guest-shutdowns.ts';
import { ShutdownController, type ShutdownControllerOptions } from './shutdown-controller.ts';
import { ShutdownManager, type ShutdownManagerOptions } from './shutdown-manager.ts';
import type { ShutdownMark } from './shutdown-mark.ts';
import { ShutdownPreStops, type ShutdownPreStopsOptions } from './shutdown-pre-stops.ts';

type ShutdownOptions = { readonly mark: ShutdownMark } & GuestShutdownsOptions &
  ShutdownPreStopsOptions &
  Omit<ShutdownManagerOptions, 'guests'> &
  Omit<ShutdownControllerOptions, 'guests' | 'preStops'>;

/** What powers off the VMs of the node before its host goes down. */
export function buildShutdown(all: ShutdownOptions) {
  const guests = new GuestShutdowns(all);
  const options = { ...all, guests };
  return {
    guests,
    manager: new ShutdownManager(options),
    controller: new ShutdownController({ ...options, preStops: new ShutdownPreStops(all) }),
  };
}
