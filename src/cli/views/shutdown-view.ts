import {
  type NodeShutdown,
  VirtualMachineShutdownState as State,
  type VirtualMachineShutdown,
} from '../../client/api.ts';
import { type Document, enumWord, timestampText, withoutEmpty } from '../output/documents.ts';
import { formatTable, printable } from '../output/table.ts';

/** As in `PowerCut`. */
function guestStateWord({ state }: VirtualMachineShutdown): string {
  return enumWord(State, 'VIRTUAL_MACHINE_SHUTDOWN_STATE', state) ?? 'Unknown';
}

export function guestName({ virtualMachine }: VirtualMachineShutdown): string {
  return `${virtualMachine?.namespace || 'default'}/${virtualMachine?.name ?? ''}`;
}

const FINAL: readonly State[] = [
  State.VIRTUAL_MACHINE_SHUTDOWN_STATE_OFF,
  State.VIRTUAL_MACHINE_SHUTDOWN_STATE_POWER_CUT,
  State.VIRTUAL_MACHINE_SHUTDOWN_STATE_GONE,
  State.VIRTUAL_MACHINE_SHUTDOWN_STATE_FAILED,
];

/** Whether no more becomes of it. */
export function isFinal({ state }: VirtualMachineShutdown): boolean {
  return FINAL.includes(state);
}

export function hasFailed({ state }: VirtualMachineShutdown): boolean {
  return state === State.VIRTUAL_MACHINE_SHUTDOWN_STATE_FAILED;
}

const WORDS: Readonly<Record<number, string>> = {
  [State.VIRTUAL_MACHINE_SHUTDOWN_STATE_OFF]: 'is off',
  [State.VIRTUAL_MACHINE_SHUTDOWN_STATE_POWER_CUT]: 'is off, its power was cut',
  [State.VIRTUAL_MACHINE_SHUTDOWN_STATE_GONE]: 'is no more on this node',
  [State.VIRTUAL_MACHINE_SHUTDOWN_STATE_FAILED]: 'could not be powered off',
};

/** What has become of a VM, in a sentence. */
export function guestText(guest: VirtualMachineShutdown): string {
  const why = guest.message === '' ? '' : `: ${guest.message}`;
  return printable(`VM ${guestName(guest)} ${WORDS[guest.state] ?? guestStateWord(guest)}${why}`);
}

export function shutdownTable({ virtualMachines }: NodeShutdown): string {
  const rows = virtualMachines.map((guest) => [
    guestName(guest),
    guestStateWord(guest),
    guest.message,
  ]);
  return formatTable(['VM', 'STATE', 'MESSAGE'], rows);
}

export function shutdownDocument(shutdown: NodeShutdown): Document {
  const { requestedBy, startTime, deadline, done, virtualMachines } = shutdown;
  return withoutEmpty({
    requestedBy,
    startTime: timestampText(startTime),
    deadline: timestampText(deadline),
    done,
    virtualMachines: virtualMachines.map((guest) => ({
      virtualMachine: withoutEmpty({ ...guest.virtualMachine }),
      state: guestStateWord(guest),
      ...withoutEmpty({ message: guest.message }),
    })),
  });
}
