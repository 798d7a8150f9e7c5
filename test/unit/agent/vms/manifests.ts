import type { ApplyOptions, ApplyResult } from '../../../../src/agent/vms/vm.ts';
import type { WantedVm } from '../../../../src/core/resources/parse-virtual-machine.ts';
import type { VmDefinition } from '../../../../src/core/vm-definition.ts';
import { readDefinitionText, toDefinitionText } from '../../../../src/core/vm-definition-text.ts';
import { never, type OneNode } from './one-node.ts';

type Fields = Readonly<Record<string, unknown>>;

/** A manifest as somebody may write it: a request with other fields; undefined leaves one out. */
export function manifestOf(
  { metadata, spec }: WantedVm,
  changes: { readonly metadata?: Fields; readonly spec?: Fields; readonly machine?: Fields } = {},
): Fields {
  const machine = { ...spec.template.spec, ...changes.machine };
  return {
    metadata: { ...metadata, ...changes.metadata },
    spec: { ...spec, ...changes.spec, template: { ...spec.template, spec: machine } },
  };
}

export function apply(
  node: OneNode,
  manifest: unknown,
  options: Partial<ApplyOptions> = {},
): Promise<ApplyResult> {
  const { dryRun = false, updateMask, generation } = options;
  return node.vms.apply(manifest, { dryRun, updateMask, generation }, never);
}

/** A definition to which a newer agent has given fields of the spec that this one does not know, or other values. */
export function writtenByNewer(definition: VmDefinition, spec: Fields): VmDefinition {
  const manifest = JSON.parse(toDefinitionText(definition)) as { readonly spec: Fields };
  const text = JSON.stringify({ ...manifest, spec: { ...manifest.spec, ...spec } });
  return readDefinitionText(text, { ...definition, isNewerVersion: false });
}
