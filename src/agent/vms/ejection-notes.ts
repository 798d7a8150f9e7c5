import { isEjected } from '../../core/ejected-media.ts';
import { pathOf } from '../../core/resources/volume.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import { commandNameOf } from './vm-words.ts';

/** What a manifest names that stays out of its drive, as the guest has ejected it. */
export function ejectionNotes(definition: VmDefinition): readonly string[] {
  return (definition.spec.template.spec.volumes ?? []).flatMap((volume, index) => {
    if (!isEjected(definition, volume)) return [];
    const field = `spec.template.spec.volumes[${index}].source`;
    const path = pathOf(volume) ?? '';
    return `${field} stays out of the drive, at the next start too: the guest has ejected it; put it back with novactl vm insert ${commandNameOf(definition)} ${volume.name} ${path}`;
  });
}
