import type { Machine } from '../../core/resources/machine.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import type { Vm } from './vm.ts';

type Firmware = Machine['firmware'];

const NAMES = { bios: 'BIOS', uefi: 'UEFI' } as const;

/** What a change of firmware does to what a guest has kept in it that has booted. */
export function firmwareNotes(
  { definition, run }: Pick<Vm, 'definition' | 'run'>,
  { template }: VmSpec,
): readonly string[] {
  const isNew = run?.isOn === false && run.end?.cause === 'never-started';
  if (isNew) return [];
  const [before, after] = [definition.spec.template.spec.firmware, template.spec.firmware];
  const notes: string[] = [];
  const [had, has] = [before?.type ?? 'bios', after?.type ?? 'bios'];
  if (had !== has) {
    const variables =
      had === 'uefi'
        ? '; the variables of UEFI are there again when it is changed back before the VM is deleted'
        : '';
    notes.push(
      `The firmware changes from ${NAMES[had]} to ${NAMES[has]}, and a guest that was installed with the one mostly does not start with the other${variables}; name firmware.type ${had} to keep it`,
    );
  }
  if (after?.type === 'uefi' && before?.type === 'uefi' && kindOf(before) !== kindOf(after)) {
    notes.push(
      'The variables of UEFI, such as the boot entries that the guest has made, are kept apart for each setting of Secure Boot: the next start has those that were last used with this one, or new ones, and the present ones are there again when it is changed back',
    );
  }
  if (before?.tpm !== undefined && after?.tpm === undefined) {
    notes.push(
      'What the guest has sealed in its TPM, such as the keys of its disks, it cannot read without; the TPM has it again if it is put back before the VM is deleted',
    );
  }
  return notes;
}

function kindOf(firmware: Firmware): string {
  if (firmware?.secureBoot !== true) return 'off';
  return firmware.secureBootKeys ?? 'microsoft';
}
