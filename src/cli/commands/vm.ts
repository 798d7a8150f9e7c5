import type { Command } from 'commander';
import type { CliIo } from '../process/cli-io.ts';
import { addVmApplyCommand } from './vm/apply.ts';
import { addVmCreateCommand } from './vm/create.ts';
import { addVmDeleteCommand } from './vm/delete.ts';
import { addVmDestroyCommand } from './vm/destroy.ts';
import { addVmEditCommand } from './vm/edit.ts';
import { addVmGetCommand } from './vm/get.ts';
import { addVmListCommand } from './vm/list.ts';
import { addVmLogCommand } from './vm/log.ts';
import { addVmRebootCommand } from './vm/reboot.ts';
import { addVmResetCommand } from './vm/reset.ts';
import { addVmRestartCommand } from './vm/restart.ts';
import { addVmResumeCommand } from './vm/resume.ts';
import { addVmShutdownCommand } from './vm/shutdown.ts';
import { addVmStartCommand } from './vm/start.ts';
import { addVmSuspendCommand } from './vm/suspend.ts';

export function addVmCommand(parent: Command, io: CliIo): Command {
  const vm = parent.command('vm').description('Makes, runs and shows the VMs of a node.');
  addVmApplyCommand(vm, io);
  addVmCreateCommand(vm, io);
  addVmEditCommand(vm, io);
  addVmListCommand(vm, io);
  addVmGetCommand(vm, io);
  addVmStartCommand(vm, io);
  addVmShutdownCommand(vm, io);
  addVmDestroyCommand(vm, io);
  addVmRestartCommand(vm, io);
  addVmRebootCommand(vm, io);
  addVmResetCommand(vm, io);
  addVmSuspendCommand(vm, io);
  addVmResumeCommand(vm, io);
  addVmDeleteCommand(vm, io);
  addVmLogCommand(vm, io);
  return vm;
}
