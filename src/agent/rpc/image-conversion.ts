import { PROBE_MARK } from '../../core/probe-mark.ts';
import {
  ImageFinding,
  ImageKind,
  type MarkedImage as MarkedImageMessage,
  type ImageSighting as SightingMessage,
} from '../../gen/novacron/peer/v1/peer.ts';
import type { ImageSighting, MarkedPlace } from '../migration/migration.ts';
import type { FieldChecks } from './field-checks.ts';

const MAX_IMAGES = 1024;
const MAX_PATH_BYTES = 4096;
const MAX_TEXT_BYTES = 128;

const KINDS = {
  [ImageKind.IMAGE_KIND_FILE]: 'file',
  [ImageKind.IMAGE_KIND_BLOCK]: 'block',
} as const;

const KIND = {
  file: ImageKind.IMAGE_KIND_FILE,
  block: ImageKind.IMAGE_KIND_BLOCK,
} as const satisfies Record<MarkedPlace['kind'], ImageKind>;

const FINDING = {
  missing: ImageFinding.IMAGE_FINDING_MISSING,
  other: ImageFinding.IMAGE_FINDING_OTHER,
  file: ImageFinding.IMAGE_FINDING_FILE,
  block: ImageFinding.IMAGE_FINDING_BLOCK,
  unknown: ImageFinding.IMAGE_FINDING_UNKNOWN,
  refused: ImageFinding.IMAGE_FINDING_REFUSED,
} as const satisfies Record<ImageSighting['kind'], ImageFinding>;

export function toMarkedImage({ kind, path, format, mark }: MarkedPlace): MarkedImageMessage {
  return { kind: KIND[kind], path, format, mark };
}

export function fromMarkedImages(
  images: readonly MarkedImageMessage[],
  checks: FieldChecks,
): readonly MarkedPlace[] {
  if (images.length > MAX_IMAGES) checks.add('images', `must be at most ${MAX_IMAGES}`);
  return images.slice(0, MAX_IMAGES).map((image, index) => {
    const field = `images[${index}]`;
    const { path, mark } = image;
    const kind = checks.oneOf<MarkedPlace['kind']>(`${field}.kind`, image.kind, KINDS, 'file');
    const isPath = path.startsWith('/') && !path.includes('\0');
    if (!isPath || Buffer.byteLength(path) > MAX_PATH_BYTES) {
      checks.add(`${field}.path`, `must be an absolute path of at most ${MAX_PATH_BYTES} bytes`);
    }
    // Any other name would be a question about a file that the caller has not made.
    if (kind === 'file' && !PROBE_MARK.test(mark)) {
      checks.add(`${field}.mark`, 'must be .novacron-probe- and 32 hexadecimal digits');
    }
    return {
      kind,
      path,
      mark,
      format: checks.text(`${field}.format`, image.format, MAX_TEXT_BYTES),
    };
  });
}

export function toImageSighting(sighting: ImageSighting): SightingMessage {
  const { name, format, sizeBytes, fileId, deviceId, problem } = {
    ...NOTHING_KNOWN,
    ...sighting,
  };
  return {
    finding: FINDING[sighting.kind],
    name,
    format,
    sizeBytes: sizeBytes === undefined ? undefined : BigInt(sizeBytes),
    fileId: fileId ?? '',
    deviceId,
    problem,
  };
}

const NOTHING_KNOWN = {
  name: '',
  format: '',
  sizeBytes: undefined,
  fileId: undefined,
  deviceId: '',
  problem: '',
};

/** What only a newer agent knows says nothing. */
export function fromImageSighting(message: SightingMessage): ImageSighting {
  const { finding, name, format, fileId, deviceId, problem } = message;
  const sizeBytes = message.sizeBytes === undefined ? undefined : Number(message.sizeBytes);
  switch (finding) {
    case ImageFinding.IMAGE_FINDING_MISSING:
      return { kind: 'missing' };
    case ImageFinding.IMAGE_FINDING_OTHER:
      return { kind: 'other' };
    case ImageFinding.IMAGE_FINDING_FILE:
      return { kind: 'file', name, format, sizeBytes, fileId: fileId === '' ? undefined : fileId };
    case ImageFinding.IMAGE_FINDING_BLOCK:
      return { kind: 'block', deviceId, sizeBytes: sizeBytes ?? 0 };
    case ImageFinding.IMAGE_FINDING_REFUSED:
      return { kind: 'refused', problem };
    default:
      return { kind: 'unknown', problem: problem === '' ? 'its agent does not say' : problem };
  }
}
