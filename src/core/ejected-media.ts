import { createHash } from 'node:crypto';
import { withMadeDisks } from './made-disks.ts';
import type { Machine } from './resources/machine.ts';
import { pathOf, type Volume } from './resources/volume.ts';
import type { VmDefinition } from './vm-definition.ts';

/*
 * A guest ejects its installer's CD and boots from its disk. The manifest still names the CD, and whoever applies it again has
 * asked for nothing new: that the guest has ejected it stands beside the spec, for that volume and that path alone.
 */

type Ejected = VmDefinition['ejected'];

/** Whether the guest has ejected what this volume names. */
export function isEjected({ ejected }: Pick<VmDefinition, 'ejected'>, volume: Volume): boolean {
  return volume.kind === 'cdrom' && isEjectedPath(ejected, volume.name, pathOf(volume));
}

/** The same of what is in the drive of a volume, whatever the spec names. */
export function isEjectedPath(ejected: Ejected, volume: string, path: string | undefined): boolean {
  return path !== undefined && ejected?.[volume] === digestOf(path);
}

/** What the next start takes: the machine with the disks that were made for it, and without the media that its guest has ejected. */
export function machineToStart(
  definition: Pick<VmDefinition, 'spec' | 'ejected' | 'madeDisks'>,
): Machine {
  return withMadeDisks(withoutEjectedMedia(definition), definition.madeDisks);
}

/** The machine of the spec without these alone. */
export function withoutEjectedMedia(definition: Pick<VmDefinition, 'spec' | 'ejected'>): Machine {
  const machine = definition.spec.template.spec;
  const { volumes } = machine;
  if (definition.ejected === undefined || volumes === undefined) return machine;
  return {
    ...machine,
    volumes: volumes.map((volume): Volume => {
      if (!isEjected(definition, volume)) return volume;
      const { source: _, ...drive } = volume;
      return drive;
    }),
  };
}

/** The same VM, of whose drive the guest has ejected the medium of this path. */
export function withEjected(definition: VmDefinition, volume: string, path: string): VmDefinition {
  return { ...definition, ejected: { ...definition.ejected, [volume]: digestOf(path) } };
}

/** The same VM with nothing known to be ejected from this drive. */
export function withoutEjected(definition: VmDefinition, volume: string): VmDefinition {
  const { [volume]: _, ...others } = definition.ejected ?? {};
  return withEjections(definition, others);
}

/** The same VM with what of these its spec still names. */
export function withEjections(definition: VmDefinition, ejected: Ejected = {}): VmDefinition {
  const { ejected: _, ...plain } = definition;
  const volumes = definition.spec.template.spec.volumes ?? [];
  const kept = Object.entries(ejected).filter(([name]) =>
    volumes.some((volume) => volume.name === name && isEjected({ ejected }, volume)),
  );
  return kept.length === 0 ? plain : { ...plain, ejected: Object.fromEntries(kept) };
}

function digestOf(path: string): string {
  return createHash('sha256').update(path).digest('hex');
}
