import type { ChangeEffect, FieldValues, LiveSizes } from '../../hypervisor-domains.ts';
import type { DomainPart } from './domain-part.ts';
import { bootPart } from './parts/boot-part.ts';
import { clockPart } from './parts/clock-part.ts';
import { cpuPart } from './parts/cpu-part.ts';
import { displayPart } from './parts/display-part.ts';
import { fixedPart } from './parts/fixed-part.ts';
import { hypervPart } from './parts/hyperv-part.ts';
import { interfacesPart } from './parts/interfaces-part.ts';
import { iothreadsPart } from './parts/iothreads-part.ts';
import { memoryPart } from './parts/memory-part.ts';
import { seedPart } from './parts/seed-part.ts';
import { smbiosPart } from './parts/smbios-part.ts';
import { tpmPart } from './parts/tpm-part.ts';
import { volumesPart } from './parts/volumes-part.ts';
import { vsockPart } from './parts/vsock-part.ts';
import { watchdogPart } from './parts/watchdog-part.ts';

/** Everything that a domain is made of. */
export const DOMAIN_PARTS: readonly DomainPart[] = [
  memoryPart,
  cpuPart,
  bootPart,
  smbiosPart,
  tpmPart,
  clockPart,
  iothreadsPart,
  hypervPart,
  volumesPart,
  seedPart,
  interfacesPart,
  displayPart,
  watchdogPart,
  vsockPart,
  fixedPart,
];

const MACHINE = 'spec.template.spec.';

/** When a change of a field, named as the manifest writes it, is in force for a running domain. */
export function effectOf(field: string, change?: FieldValues, sizes?: LiveSizes): ChangeEffect {
  if (!field.startsWith(MACHINE)) return 'now';
  const ofMachine = field.slice(MACHINE.length);
  for (const part of DOMAIN_PARTS) {
    const effect = part.effectOf(ofMachine, change, sizes);
    if (effect !== undefined) return effect;
  }
  return 'now';
}
