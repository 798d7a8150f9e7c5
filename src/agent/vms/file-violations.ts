import type { FieldViolation, Reason } from '../../core/errors.ts';
import type { Volume } from '../../core/resources/volume.ts';
import type { FileOwner } from '../../drivers/hypervisor-host.ts';
import type { FileKind, ImageInfo, ImageProblem } from '../../drivers/images.ts';

/** A violation and the reason that it alone would fail with. */
export interface SpecViolation extends FieldViolation {
  readonly reason: Reason;
  /** What the node has too little of, by its name. */
  readonly resource?: string;
}

/** Whose files they are to be. */
export interface Asker {
  /** What this VM itself has open is not in its way. Undefined for one that is not there yet. */
  readonly vmUid: string | undefined;
  /**
   * What commands call it, if it comes from another node. That has the same images open until it is here: who cannot be seen may
   * be that one.
   */
  readonly arrivesAs: string | undefined;
  /** It is being given them. */
  readonly isNew?: boolean;
}

export const MACHINE = 'spec.template.spec';

/** The field that a file is asked about for, and whom QEMU runs as. */
export interface Asked {
  readonly field: string;
  readonly user: FileOwner | undefined;
}

export interface AskedVolume {
  readonly field: string;
  readonly pathField: string;
  readonly path: string;
  readonly format: string;
  readonly kind: 'file' | 'block-device';
  readonly isReadOnly: boolean;
  /** How to do without it, to be said after what else can be done; may be empty. */
  readonly without: string;
  /** The VM comes from another node, which has it: what is to be here is that very one. */
  readonly isArriving: boolean;
  /** An agent has made it for the VM: no other will do. */
  readonly isMade: boolean;
}

export interface Look extends AskedVolume {
  readonly image: ImageInfo | undefined;
  readonly violation: SpecViolation | undefined;
}

export function violationOf(
  asked: AskedVolume,
  image: ImageInfo | undefined,
): SpecViolation | undefined {
  const { field, pathField, path, format } = asked;
  if (image === undefined) return missing(pathField, path, asked);
  if (image.problem !== undefined) return unusable(pathField, path, image.problem);
  const kind = kindProblem(image.kind, asked.kind);
  if (kind !== undefined) {
    return { field: pathField, description: `is ${path}, which ${kind}`, reason: 'IMAGE_INVALID' };
  }
  if (image.format === format) return undefined;
  const isUsable = image.format === 'raw' || image.format === 'qcow2';
  const other = isUsable ? 'correct the format or ' : '';
  const description = `is ${format}, but ${path} is ${image.format}; ${other}convert it with: qemu-img convert -O ${format}`;
  return { field: `${field}.format`, description, reason: 'IMAGE_INVALID' };
}

/** A guest that encrypts a whole disk leaves `luks`, and no image. */
const AS_THEY_ARE: readonly string[] = ['raw', 'luks'];

/** That a raw disk has another image in it, in a sentence. It may be meant so: its bytes are the guest's. */
export function unlikelyRaw({ field, path, image, violation }: Look): string | undefined {
  const content = image?.content;
  if (content === undefined || AS_THEY_ARE.includes(content) || violation !== undefined) {
    return undefined;
  }
  const way =
    content === 'qcow2'
      ? 'say format: qcow2'
      : `convert it with: qemu-img convert -f ${content} -O qcow2`;
  return `${field}.format is raw, but ${path} is a ${content} image by its first bytes: the guest would have the bytes of that image as its disk, not what is in it; if it was made as one, ${way}`;
}

/** Links that lead to one image: by its path alone a manifest does not show it. */
export function sameFiles(looks: readonly Look[]): readonly SpecViolation[] {
  return looks.flatMap(({ image, pathField: field, path }, index) => {
    const id = image?.fileId;
    const first = looks.slice(0, index).find((other) => other.image?.fileId === id);
    if (id === undefined || first === undefined) return [];
    const description = `is ${path}, which leads to the same image as ${first.pathField}; each volume needs its own`;
    return [{ field, description, reason: 'INVALID_SPEC' }];
  });
}

/** What another disk of the VM stands on nobody may write to, the VM itself neither: QEMU would not open both. */
export function writtenBases(looks: readonly Look[]): readonly SpecViolation[] {
  return looks.flatMap(({ image, pathField: field, path, isReadOnly }) => {
    const id = image?.fileId;
    const upon = looks.find((other) => id !== undefined && other.image?.behind.includes(id));
    if (isReadOnly || upon === undefined) return [];
    const description = `is ${path}, on which the image of ${upon.pathField} stands, so nobody may write to it; leave one of them out, or say readOnly: true of this one`;
    return [{ field, description, reason: 'INVALID_SPEC' }];
  });
}

export function unusable(
  field: string,
  path: string,
  { reason, text }: ImageProblem,
): SpecViolation {
  return { field, description: `is ${path}, which cannot be used: ${text}`, reason };
}

function kindProblem(found: FileKind, wanted: 'file' | 'block-device'): string | undefined {
  if (found === wanted) return undefined;
  return wanted === 'file'
    ? 'is a block device; name it as source.block'
    : 'is no block device; name it as source.file';
}

/** How to do without what is in a drive. */
export function wayWithout({ kind, name }: Volume, { arrivesAs }: Asker): string {
  if (kind !== 'cdrom') return '';
  if (arrivesAs === undefined) return ', or leave its source out for an empty drive';
  return `, or take it out with novactl vm eject ${arrivesAs} ${name}`;
}

/** Where any file with the same content will do. */
const COPIED = { without: '', isArriving: false, isMade: false } as const;

export function missing(
  field: string,
  path: string,
  { without, isArriving, isMade }: Pick<AskedVolume, 'without' | 'isArriving' | 'isMade'> = COPIED,
): SpecViolation {
  const back = isMade
    ? 'it was made for this VM, so mount its storage or put the file back'
    : 'put the file there or correct the path';
  const mend = isArriving ? 'mount the storage that it is on under the same path here' : back;
  const description = `is ${path}, which does not exist on this node; ${mend}${without}`;
  return { field, description, reason: 'IMAGE_NOT_FOUND' };
}
