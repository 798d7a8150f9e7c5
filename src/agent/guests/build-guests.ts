import { GuestClocks, type GuestClocksOptions } from './guest-clocks.ts';
import { GuestCommands } from './guest-commands.ts';
import { GuestFreezer, type GuestFreezerOptions } from './guest-freezer.ts';
import type { GuestHealth } from './guest-health.ts';
import { GuestManager, type GuestManagerOptions } from './guest-manager.ts';
import { GuestVms, type GuestVmsOptions } from './guest-vms.ts';
import { OverdueThaws } from './overdue-thaws.ts';

type GuestsOptions = GuestVmsOptions &
  GuestFreezerOptions &
  GuestClocksOptions &
  Pick<GuestManagerOptions, 'guestAgent'> & { readonly guestHealth: GuestHealth };

/** What is asked of guests, and what is done for them by itself. Nothing runs yet. */
export function buildGuests(all: GuestsOptions) {
  const { freezes, tasks, events, guestHealth } = all;
  const options = { ...all, guestAgent: guestHealth.watching(all.guestAgent) };
  const vms = new GuestVms(options);
  const commands = new GuestCommands(options);
  const freezer = new GuestFreezer(options);
  const thaws = new OverdueThaws({ freezes, events, freezer, tasks });
  const clocks = new GuestClocks(options);
  return {
    manager: new GuestManager({ ...options, vms, commands, freezer }),
    /** Does what is done by itself, as tasks. */
    run(): void {
      tasks.run('guest-thaws', (signal) => thaws.run(signal));
      tasks.run('guest-clocks', (signal) => clocks.run(signal));
      tasks.run('guest-health', (signal) => guestHealth.run(signal));
    },
  };
}
