import type { Command } from 'commander';
import type { CliIo } from '../process/cli-io.ts';
import { addSubcommands, type Subcommands } from './subcommands.ts';

const COMMANDS: Subcommands = {
  apply: async () => (await import('./vm/apply.ts')).addVmApplyCommand,
  create: async () => (await import('./vm/create.ts')).addVmCreateCommand,
  edit: async () => (await import('./vm/edit.ts')).addVmEditCommand,
  adopt: async () => (await import('./vm/adopt.ts')).addVmAdoptCommand,
  list: async () => (await import('./vm/list.ts')).addVmListCommand,
  get: async () => (await import('./vm/get.ts')).addVmGetCommand,
  describe: async () => (await import('./vm/describe.ts')).addVmDescribeCommand,
  start: async () => (await import('./vm/start.ts')).addVmStartCommand,
  shutdown: async () => (await import('./vm/shutdown.ts')).addVmShutdownCommand,
  destroy: async () => (await import('./vm/destroy.ts')).addVmDestroyCommand,
  restart: async () => (await import('./vm/restart.ts')).addVmRestartCommand,
  reboot: async () => (await import('./vm/reboot.ts')).addVmRebootCommand,
  reset: async () => (await import('./vm/reset.ts')).addVmResetCommand,
  suspend: async () => (await import('./vm/suspend.ts')).addVmSuspendCommand,
  resume: async () => (await import('./vm/resume.ts')).addVmResumeCommand,
  eject: async () => (await import('./vm/eject.ts')).addVmEjectCommand,
  insert: async () => (await import('./vm/insert.ts')).addVmInsertCommand,
  resize: async () => (await import('./vm/resize.ts')).addVmResizeCommand,
  'attach-disk': async () => (await import('./vm/attach-disk.ts')).addVmAttachDiskCommand,
  'detach-disk': async () => (await import('./vm/detach-disk.ts')).addVmDetachDiskCommand,
  delete: async () => (await import('./vm/delete.ts')).addVmDeleteCommand,
  log: async () => (await import('./vm/log.ts')).addVmLogCommand,
  console: async () => (await import('./vm/console.ts')).addVmConsoleCommand,
  vnc: async () => (await import('./vm/vnc.ts')).addVmVncCommand,
  screenshot: async () => (await import('./vm/screenshot.ts')).addVmScreenshotCommand,
  'send-key': async () => (await import('./vm/send-key.ts')).addVmSendKeyCommand,
  ssh: async () => (await import('./vm/ssh.ts')).addVmSshCommand,
  guest: async () => (await import('./vm/guest.ts')).addVmGuestCommand,
};

export async function addVmCommand(
  parent: Command,
  io: CliIo,
  next: string | undefined,
): Promise<Command> {
  const vm = parent.command('vm').description('Makes, runs and shows the VMs of a node.');
  await addSubcommands(vm, io, COMMANDS, next);
  return vm;
}
