import type { WatchdogAction } from '../../drivers/hypervisor-events.ts';
import type { Happening, SeenChange } from './seen-change.ts';

const DEEDS: Readonly<Record<WatchdogAction, { readonly cause: string; readonly what: string }>> = {
  none: { cause: 'None', what: 'which changes nothing' },
  pause: { cause: 'Pause', what: 'which has stopped it' },
  reset: { cause: 'Reset', what: 'which has reset its hardware' },
  poweroff: { cause: 'Poweroff', what: 'which has cut its power' },
  shutdown: { cause: 'Shutdown', what: 'which has asked the guest to power off' },
  debug: { cause: 'Debug', what: 'which QEMU has written to its log' },
  'inject-nmi': { cause: 'InjectNmi', what: 'which has given it a non-maskable interrupt' },
  unknown: { cause: 'Unknown', what: 'and libvirt does not say what that did' },
};

/** That a guest no longer answers its watchdog. */
export function watchdogChanges({ before, now }: SeenChange): readonly Happening[] {
  const { watchdog } = now;
  if (watchdog === undefined || watchdog.count <= (before.watchdog?.count ?? 0)) return [];
  const { cause, what } = DEEDS[watchdog.action];
  return [
    {
      reason: 'WatchdogFired',
      message: `Its guest no longer answers its watchdog, ${what}; see what it says with novactl vm log`,
      cause,
    },
  ];
}
