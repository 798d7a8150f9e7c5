import { formatBytesQuantity } from '../../core/quantity.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { memoryBytesOf, vcpusOf } from '../../core/resources/machine-amounts.ts';
import { MACHINE } from './file-violations.ts';
import type { FieldChange, Vm } from './vm.ts';

const CPU = `${MACHINE}.resources.cpu`;
const MEMORY = `${MACHINE}.resources.memory`;

/** Why a VM that runs is given more or less only at its next start, in sentences. */
export function sizeNotes(
  { sizes, accelerator, hugepages }: Pick<Vm, 'sizes' | 'accelerator' | 'hugepages'>,
  wanted: Machine,
  changes: readonly FieldChange[],
): readonly string[] {
  if (sizes === undefined) return [];
  const waits = (field: string) =>
    changes.some((change) => change.field === field && change.effect === 'next-start');
  const notes: string[] = [];
  if (waits(CPU)) {
    const { given, least, most } = sizes.vcpus;
    const ofLess =
      accelerator === 'tcg'
        ? 'without KVM QEMU does not say when a guest has given a CPU back'
        : `of its ${given} CPUs it can give ${given - least} back while it runs: those that it was started with only where cpu.max was set then`;
    const ofMore = `it was started with ${most} at most; with cpu.max it may have more while it runs from its next start on`;
    notes.push(`${CPU} is in force at the next start: ${vcpusOf(wanted) > most ? ofMore : ofLess}`);
  }
  if (waits(MEMORY)) {
    const { mostBytes } = sizes.memory;
    const ofLess =
      hugepages === undefined
        ? 'it has no balloon, by which a guest gives memory back'
        : 'memory in huge pages is not given back while it runs';
    const ofMore = `it was started with ${formatBytesQuantity(BigInt(mostBytes))} at most; with memory.max it may have more while it runs from its next start on`;
    notes.push(
      `${MEMORY} is in force at the next start: ${memoryBytesOf(wanted) > mostBytes ? ofMore : ofLess}`,
    );
  }
  return notes;
}
