import type {
  BlockFacts,
  FileFacts,
  ImageSighting,
  MarkedImage,
} from '../../drivers/disk-probe.ts';

/** What became of comparing an image of one node with what another has under the same path. */
export type Comparison =
  | { readonly verdict: 'same'; readonly there: FileFacts | BlockFacts }
  | {
      readonly verdict: 'different';
      /** `replaced`: what is here is not what the VM has open. */
      readonly why: 'replaced' | 'missing' | 'unmarked' | 'attributes';
    }
  /** Not to be opened there, whatever it is. */
  | { readonly verdict: 'refused'; readonly problem: string }
  /** `side` is the node on which it could not be found out. */
  | { readonly verdict: 'unknown'; readonly side: 'here' | 'there'; readonly problem: string };

/**
 * The random name is what tells: two disks may be equal in everything else, as those of cloned hosts are. What else must be
 * equal is what a link or a mount could make another file of in the same folder. Device numbers say nothing between hosts.
 */
export function compareImages(here: MarkedImage, there: ImageSighting): Comparison {
  if (there.kind === 'refused') return { verdict: 'refused', problem: there.problem };
  if (here.kind === 'replaced') return { verdict: 'different', why: 'replaced' };
  if (there.kind === 'missing') return { verdict: 'different', why: 'missing' };
  if (here.kind === 'unknown') return { verdict: 'unknown', side: 'here', problem: here.problem };
  switch (there.kind) {
    case 'other':
      return { verdict: 'different', why: 'unmarked' };
    case 'unknown':
      return { verdict: 'unknown', side: 'there', problem: there.problem };
    default:
      return isSame(here, there)
        ? { verdict: 'same', there }
        : { verdict: 'different', why: 'attributes' };
  }
}

function isSame(here: FileFacts | BlockFacts, there: FileFacts | BlockFacts): boolean {
  if (here.kind === 'block' || there.kind === 'block') {
    if (here.kind !== 'block' || there.kind !== 'block') return false;
    return here.deviceId === there.deviceId && here.sizeBytes === there.sizeBytes;
  }
  return (
    here.name === there.name &&
    here.format === there.format &&
    here.sizeBytes === there.sizeBytes &&
    hasSameNumber(here.fileId, there.fileId)
  );
}

/** The node that exports a file system has it as another kind, whose numbers need not be those that it exports. */
function hasSameNumber(here: string | undefined, there: string | undefined): boolean {
  const [kind] = here?.split(':') ?? [];
  if (here === undefined || there?.startsWith(`${kind}:`) !== true) return true;
  return here === there;
}

/** What a node has, for people. */
export function describeImage(image: MarkedImage | ImageSighting): string {
  switch (image.kind) {
    case 'missing':
      return 'nothing';
    case 'other':
      return 'another file, without the mark';
    case 'replaced':
      return 'not the file that the VM has open, which was deleted or replaced while it runs';
    case 'unknown':
    case 'refused':
      return `unknown: ${image.problem}`;
    case 'block':
      return `block device ${image.deviceId}, ${image.sizeBytes} bytes`;
    default: {
      const { name, format, sizeBytes, fileId } = image;
      const size = sizeBytes === undefined ? '' : ` of ${sizeBytes} bytes`;
      const number = fileId === undefined ? '' : `, number ${fileId.split(':')[1]}`;
      return `${format} file ${name}${size}${number}`;
    }
  }
}
