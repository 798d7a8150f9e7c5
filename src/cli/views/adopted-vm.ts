import { printable } from '../output/table.ts';
import { phaseWord, type VmDocument, vmName } from './vm-view.ts';

/** Of a VM that was taken over. */
export function adoptedText(vm: VmDocument): string {
  return `VM ${vmName(vm)} adopted (${phaseWord(vm)})\n${keptText(vm)}`;
}

/** Of one that could be. */
export async function plannedText(vm: VmDocument): Promise<string> {
  const { toYaml } = await import('../../core/yaml.ts');
  const { status: _, ...manifest } = vm;
  return `VM ${vmName(vm)} could be adopted, with this manifest:\n\n${toYaml(manifest)}\n${keptText(vm)}`;
}

/** What no manifest can say; empty if there is nothing. */
function keptText({ status }: VmDocument): string {
  const kept = status?.kept ?? [];
  if (kept.length === 0) return '';
  return `Kept as it is, as no manifest can say it:\n${kept.map((one) => `  ${printable(one)}\n`).join('')}`;
}
