import type { Command } from 'commander';
import type { CliIo } from '../../process/cli-io.ts';
import { addVmGuestExecCommand } from './guest/exec.ts';
import { addVmGuestFreezeCommand } from './guest/freeze.ts';
import { addVmGuestInfoCommand } from './guest/info.ts';
import { addVmGuestSetPasswordCommand } from './guest/set-password.ts';
import { addVmGuestSyncTimeCommand } from './guest/sync-time.ts';
import { addVmGuestThawCommand } from './guest/thaw.ts';

export function addVmGuestCommand(parent: Command, io: CliIo): void {
  const guest = parent
    .command('guest')
    .summary('ask the guest of a VM by its guest agent')
    .description(
      'Asks what runs inside of a VM, by the QEMU guest agent there: the package qemu-guest-agent must be installed in the guest. ' +
        'The condition GuestAgentConnected of the VM says whether it listens.',
    );
  addVmGuestInfoCommand(guest, io);
  addVmGuestExecCommand(guest, io);
  addVmGuestSetPasswordCommand(guest, io);
  addVmGuestFreezeCommand(guest, io);
  addVmGuestThawCommand(guest, io);
  addVmGuestSyncTimeCommand(guest, io);
}
