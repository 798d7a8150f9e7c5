import type { VirtualMachine } from '../../client/api.ts';
import { AgentError } from '../../core/errors.ts';

/** Why a console has ended: it has to do with the VM, which may have moved away. */
export async function whyEnded(asked: Promise<VirtualMachine>): Promise<string> {
  const { phaseWord, vmDocument } = await import('../views/vm-view.ts');
  try {
    return `it is ${phaseWord(vmDocument(await asked))} now`;
  } catch (error) {
    if (error instanceof AgentError) return error.message;
    throw error;
  }
}
