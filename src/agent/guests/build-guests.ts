import { GuestClocks, type GuestClocksOptions } from './guest-clocks.ts';
import { GuestCommands } from './guest-commands.ts';
import { GuestFreezer, type GuestFreezerOptions } from './guest-freezer.ts';
import { GuestManager, type GuestManagerOptions } from './guest-manager.ts';
import { GuestVms, type GuestVmsOptions } from './guest-vms.ts';
import { OverdueThaws } from './overdue-thaws.ts';

type GuestsOptions = GuestVmsOptions &
  GuestFreezerOptions &
  GuestClocksOptions &
  Pick<GuestManagerOptions, 'guestAgent'>;

/** What is asked of guests, and what is done for them by itself. Nothing runs yet. */
export function buildGuests(options: GuestsOptions) {
  const { freezes, tasks, events } = options;
  const vms = new GuestVms(options);
  const commands = new GuestCommands(options);
  const freezer = new GuestFreezer(options);
  return {
    manager: new GuestManager({ ...options, vms, commands, freezer }),
    thaws: new OverdueThaws({ freezes, events, freezer, tasks }),
    clocks: new GuestClocks(options),
  };
}
