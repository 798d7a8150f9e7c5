import { machine } from './machine.ts';
import type { MessageForm } from './message-form.ts';
import { formOf } from './schema-form.ts';
import { virtualMachine } from './virtual-machine.ts';

/*
 * The forms of resources in messages. The build has them worked out and puts only what comes of it in their place, so that whoever shows
 * resources and checks none loads no schema.
 */

export const virtualMachineForm: MessageForm = formOf(virtualMachine);
export const machineForm: MessageForm = formOf(machine);
