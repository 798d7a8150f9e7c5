import { open, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { codeOf } from '../../core/file-words.ts';
import { syncFolder } from '../../core/sync-folder.ts';
import * as z from '../../core/zod.ts';

const digestSchema = z.string().regex(/^[0-9a-f]{64}$/);
const countSchema = z.number().int().nonnegative();

const sidecarSchema = z.object({
  digest: digestSchema,
  format: z.enum(['qcow2', 'raw']),
  virtualBytes: countSchema,
  contentBytes: countSchema,
  /** Of the file, which is another one's if the content was converted. */
  fileBytes: countSchema,
  fileDigest: digestSchema,
  origins: z.array(
    z.object({
      url: z.string(),
      // JSON has no undefined.
      version: z.string().optional(),
      fetchedAtMs: z.number(),
      checkedAtMs: z.number(),
    }),
  ),
  lastUsedAtMs: z.number(),
});

/** What is known of an image, in a file beside it. */
export type ImageSidecar = z.infer<typeof sidecarSchema>;

export function isImageDigest(text: string): boolean {
  return digestSchema.safeParse(text).success;
}

export function sidecarFile(folder: string, digest: string): string {
  return path.join(folder, `${digest}.json`);
}

/** Undefined for none, and for a broken one: its image counts as not there, and is replaced when it is fetched again. */
export async function findSidecar(
  folder: string,
  digest: string,
): Promise<ImageSidecar | undefined> {
  try {
    const found = JSON.parse(await readFile(sidecarFile(folder, digest), 'utf8'));
    const sidecar = sidecarSchema.safeParse(found).data;
    return sidecar?.digest === digest ? sidecar : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** Whole or not at all, and still there after a power cut. */
export async function writeSidecar(folder: string, sidecar: ImageSidecar): Promise<void> {
  const file = sidecarFile(folder, sidecar.digest);
  // Of this process, as others may write one at the same time, and those of other nodes.
  const whole = `${file}.${process.pid}.new`;
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(whole, { force: true }));
  {
    await using handle = await open(whole, 'w', 0o600);
    await handle.writeFile(`${JSON.stringify(sidecar, undefined, 2)}\n`);
    await handle.sync();
  }
  await rename(whole, file);
  await syncFolder(folder);
}
