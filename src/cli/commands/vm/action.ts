import type { VirtualMachine } from '../../../client/api.ts';
import { printItem } from '../../output/output.ts';
import type { OutputOptions } from '../../output/output-format.ts';
import type { CliIo } from '../../process/cli-io.ts';
import { phaseWord, vmDocument, vmName, vmView } from '../../views/vm-view.ts';

/** Says what was done to a VM: a sentence, or the VM in the wanted format. */
export function printVmAction(
  io: CliIo,
  { output }: OutputOptions,
  message: VirtualMachine,
  done: string,
): void {
  const vm = vmDocument(message);
  if (output === 'table') {
    io.stdout.write(`VM ${vmName(vm)} ${done} (${phaseWord(vm)})\n`);
  } else {
    printItem(io, output, vmView({ nowMs: Date.now(), showNamespace: true }), vm);
  }
}
