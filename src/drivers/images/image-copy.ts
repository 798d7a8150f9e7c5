import { execFile, spawn } from 'node:child_process';
import { constants, type FileHandle, open, rename, rm, statfs } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { AgentError } from '../../core/errors.ts';
import type { DiskImage } from '../../core/made-disks.ts';
import { shownSource } from '../../core/resources/image-source.ts';
import * as z from '../../core/zod.ts';
import type { CopyProgress, NewDisk } from '../disk-files.ts';
import { sizeText } from './image-kinds.ts';

const TELL_MS = 250;
const MAX_COMPLAINT = 4096;
const ENVIRONMENT = { LC_ALL: 'C', PATH: process.env['PATH'] };

const measureSchema = z.object({ required: z.number(), 'fully-allocated': z.number() });

/** What is copied for the disk at a path, as long as it is not whole. */
function unfinishedCopy(disk: string): string {
  return `${disk}.new`;
}

/** What has been copied for the disk at a path. */
export function finishedCopy(disk: string): string {
  return `${disk}.copied`;
}

export async function discardCopy(disk: string): Promise<void> {
  await rm(unfinishedCopy(disk), { force: true });
  await rm(finishedCopy(disk), { force: true });
}

export interface ImageCopyOptions {
  readonly binary: string;
  readonly disk: NewDisk;
  /** Of the disk. */
  readonly image: DiskImage;
  readonly onProgress: (progress: CopyProgress) => void;
}

/** Copies the image beside the disk, whole or not at all. Fails as qemu-img and the file system do, and with STORAGE_FULL. */
export async function copyImage(options: ImageCopyOptions, signal: AbortSignal): Promise<void> {
  const { disk } = options;
  const file = unfinishedCopy(disk.path);
  await discardCopy(disk.path);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(file, { force: true }));
  // Nobody may read it before it is root's alone.
  await using handle = await open(file, 'wx', 0o600);
  await makeEmpty(options, file, handle, signal);
  const totalBytes = await measure(options, signal);
  await refuseWithoutRoom(options, totalBytes);
  await convert(options, { file, totalBytes }, signal);
  await handle.sync();
  // libvirt may be set not to give QEMU the files that it needs.
  if (disk.owner !== undefined) await handle.chown(disk.owner.uid, disk.owner.gid);
  signal.throwIfAborted();
  await rename(file, finishedCopy(disk.path));
  undo.move();
}

async function makeEmpty(
  { binary, disk: { format, bytes } }: ImageCopyOptions,
  file: string,
  handle: FileHandle,
  signal: AbortSignal,
): Promise<void> {
  if (format === 'raw') return await handle.truncate(bytes);
  const create = ['create', '-q', '-f', format, file, String(bytes)];
  await promisify(execFile)(binary, create, { signal, env: ENVIRONMENT });
}

/** How many bytes of the image are to be copied, as many of them are of no file. */
async function measure({ binary, image }: ImageCopyOptions, signal: AbortSignal): Promise<number> {
  const words = ['measure', '--output=json', '-f', image.format, '-O', 'qcow2', image.path];
  const { stdout } = await promisify(execFile)(binary, words, { signal, env: ENVIRONMENT });
  const found = measureSchema.parse(JSON.parse(stdout));
  // What is beside the data is the same in both, and in the second the data are the whole disk.
  return Math.max(0, found.required - found['fully-allocated'] + image.bytes);
}

/** Filling the disk first would take from VMs what they are about to write. */
async function refuseWithoutRoom(
  { disk, image }: ImageCopyOptions,
  totalBytes: number,
): Promise<void> {
  const folder = path.dirname(disk.path);
  const { bavail, bsize } = await statfs(folder);
  const room = bavail * bsize;
  if (totalBytes <= room) return;
  throw new AgentError(
    'STORAGE_FULL',
    `Cannot copy the image ${shownSource(image.source)} into the disk ${disk.path}: that takes ${sizeText(totalBytes)}, and ${folder} has room for ${sizeText(room)}; make room there, or leave format: raw and clone: full out for a disk that stands on the image`,
  );
}

async function convert(
  { binary, disk, image, onProgress }: ImageCopyOptions,
  { file, totalBytes }: { readonly file: string; readonly totalBytes: number },
  signal: AbortSignal,
): Promise<void> {
  const formats = ['-f', image.format, '-O', disk.format];
  // Past the page cache, where that can be: what VMs have in it stays, and what is told as copied is on the disk.
  const from = (await canBypassCache(image.path)) ? ['-T', 'none'] : [];
  const to = (await canBypassCache(file)) ? ['-t', 'none'] : [];
  // Zeros are skipped, as the file is nothing else; left to itself qemu-img would make one of the image's size.
  const onto = ['-n', '--target-is-zero'];
  const words = ['convert', '-p', ...onto, ...formats, ...from, ...to, image.path, file];
  const child = spawn(binary, words, {
    signal,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: ENVIRONMENT,
  });
  let toldAtMs = Number.NEGATIVE_INFINITY;
  child.stdout.on('data', (chunk: Buffer) => {
    const percent = chunk
      .toString('latin1')
      .match(/\d+(?:\.\d+)?(?=\/100%)/g)
      ?.at(-1);
    if (percent === undefined || performance.now() - toldAtMs < TELL_MS) return;
    toldAtMs = performance.now();
    onProgress({ bytes: Math.round((totalBytes * Number(percent)) / 100), totalBytes });
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr = (stderr + chunk.toString()).slice(0, MAX_COMPLAINT);
  });
  const ended = Promise.withResolvers<number | null>();
  child.on('error', ended.reject);
  child.on('close', ended.resolve);
  const status = await ended.promise;
  signal.throwIfAborted();
  if (status === 0) return onProgress({ bytes: totalBytes, totalBytes });
  throw Object.assign(new Error(`qemu-img has ended with ${status ?? 'a signal'}`), { stderr });
}

/** As not every file system can do. */
async function canBypassCache(file: string): Promise<boolean> {
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_DIRECT);
    await handle.close();
    return true;
  } catch {
    return false;
  }
}
