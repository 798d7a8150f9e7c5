import type { VirtualMachine } from '../client/api.ts';
import type { CliIo } from './cli-io.ts';
import { printItem } from './output.ts';
import type { OutputOptions } from './output-format.ts';
import { phaseWord, vmName, vmView } from './vm-view.ts';

/** Says what was done to a VM: a sentence, or the VM in the wanted format. */
export function printVmAction(
  io: CliIo,
  { output }: OutputOptions,
  vm: VirtualMachine,
  done: string,
): void {
  if (output === 'table') {
    io.stdout.write(`VM ${vmName(vm)} ${done} (${phaseWord(vm.status?.phase ?? 0)})\n`);
  } else {
    printItem(io, output, vmView({ nowMs: Date.now(), showNamespace: true }), vm);
  }
}
