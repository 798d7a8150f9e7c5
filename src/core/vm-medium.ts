import type { Volume } from './resources/volume.ts';
import type { VmDefinition } from './vm-definition.ts';

/** What is in a drive; undefined if nothing is. */
export type Medium = Volume['source'];

/** The same VM with something else in a drive; a medium is read as it is, byte for byte. */
export function withMedium(
  definition: VmDefinition,
  volumeName: string,
  medium: Medium,
): VmDefinition {
  const { spec } = definition;
  const { template } = spec;
  const volumes = (template.spec.volumes ?? []).map((volume): Volume => {
    if (volume.name !== volumeName) return volume;
    const { source: _, ...drive } = volume;
    return medium === undefined ? drive : { ...drive, source: medium, format: 'raw' };
  });
  const machine = { ...template.spec, volumes };
  return { ...definition, spec: { ...spec, template: { ...template, spec: machine } } };
}
