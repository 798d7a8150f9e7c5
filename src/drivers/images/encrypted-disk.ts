import { open } from 'node:fs/promises';
import type { DiskImage } from '../../core/made-disks.ts';
import type { LargerDisk, NewDisk } from '../disk-files.ts';
import { KeyFile } from './key-file.ts';
import { LUKS_HEADER_BYTES, luksPayloadOffset } from './luks-header.ts';
import { readAt } from './read-at.ts';

/** Gives its output. Without a time it takes as long as it takes. */
export type RunQemuImg = (
  given: readonly string[],
  signal: AbortSignal,
  timeoutMs: number,
) => Promise<string>;

type EncryptedDisk = NewDisk & { readonly key: string };

/** LUKS has whoever tries a key out compute for two seconds, and longer where the processor is slower or busy. */
const KEY_DEADLINE_MS = 2 * 60_000;
const WITHOUT_END = 0;

/** Makes an encrypted disk of a file that is there. The header of LUKS stands beside what its guest sees, whose size is that of the disk. */
export async function writeEncrypted(
  { format, bytes, image, key }: EncryptedDisk,
  file: string,
  run: RunQemuImg,
  signal: AbortSignal,
): Promise<void> {
  await using secret = await KeyFile.open(key);
  const create = (options: string, given: readonly string[]) => {
    const named = ['create', '-q', ...secret.arguments, '-o', options, ...given];
    return run([...named, file, String(bytes)], signal, KEY_DEADLINE_MS);
  };
  if (format === 'qcow2') {
    const options = `encrypt.format=luks,encrypt.key-secret=${secret.id}`;
    await create(options, ['-f', format, ...backingOf(image)]);
    return;
  }
  await create(`key-secret=${secret.id}`, ['-f', 'luks']);
  if (image === undefined) return;
  // What nobody has written there does not read as zeros, so those of the image are written too.
  const convert = ['convert', '-q', '-n', '-f', image.format, ...secret.arguments];
  const target = ['--target-image-opts', image.path, optionsFor(format, file, secret.id)];
  await run([...convert, ...target], signal, WITHOUT_END);
}

export async function resizeEncrypted(
  { path: file, format, bytes, key }: LargerDisk & { readonly key: string },
  run: RunQemuImg,
  signal: AbortSignal,
): Promise<void> {
  await using secret = await KeyFile.open(key);
  const opened = ['--image-opts', optionsFor(format, file, secret.id)];
  const given = ['resize', '-q', ...secret.arguments, ...opened, String(bytes)];
  await run(given, signal, KEY_DEADLINE_MS);
}

/** Whether its key opens a disk that is there. A guest may run with it. */
export async function isOpenedBy(
  { path: file, format, key }: EncryptedDisk,
  run: RunQemuImg,
  signal: AbortSignal,
): Promise<boolean> {
  await using secret = await KeyFile.open(key);
  // To say where its first sector is, qemu-img must have opened it.
  const first = ['--output=json', '--start-offset=0', '--max-length=512'];
  const opened = ['--image-opts', optionsFor(format, file, secret.id)];
  try {
    await run(['map', '-U', ...first, ...secret.arguments, ...opened], signal, KEY_DEADLINE_MS);
    return true;
  } catch (error) {
    const { stderr } = error as { readonly stderr?: unknown };
    if (String(stderr).includes('Invalid password')) return false;
    throw error;
  }
}

/** As qemu-img calls what is in the file of a disk. */
export function contentOf({ format, key }: Pick<NewDisk, 'format' | 'key'>): string {
  return format === 'raw' && key !== undefined ? 'luks' : format;
}

export function backingOf(image: DiskImage | undefined): readonly string[] {
  return image === undefined ? [] : ['-F', image.format, '-b', image.path];
}

/** Where what its guest sees begins in the file of a raw one. */
export async function payloadOffsetOf(file: string): Promise<number> {
  await using handle = await open(file, 'r');
  return luksPayloadOffset(await readAt(handle, 0, LUKS_HEADER_BYTES));
}

/** A comma ends an option. */
function optionsFor(format: NewDisk['format'], file: string, keyId: string): string {
  const driver = format === 'qcow2' ? 'qcow2,encrypt.key-secret' : 'luks,key-secret';
  return `driver=${driver}=${keyId},file.driver=file,file.filename=${file.replaceAll(',', ',,')}`;
}
