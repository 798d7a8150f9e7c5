import { readlink, realpath } from 'node:fs/promises';
import path from 'node:path';

export interface Lead {
  /** Without links. */
  readonly at: string;
  readonly exists: boolean;
}

/** As many as the kernel follows. */
const MAX_LINKS = 40;
const ABSENT: ReadonlySet<unknown> = new Set(['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG']);

/** Where a path leads to, also where nothing is there: it is to be judged by that, and not by whether something is. */
export async function whereItLeads(file: string, linksLeft = MAX_LINKS): Promise<Lead> {
  try {
    return { at: await realpath(file), exists: true };
  } catch (error) {
    if (!ABSENT.has((error as NodeJS.ErrnoException).code)) throw error;
  }
  const parent = path.dirname(file);
  if (parent === file) return { at: file, exists: false };
  const { at: folder } = await whereItLeads(parent, linksLeft);
  const at = path.resolve(folder, path.basename(file));
  const target = linksLeft > 0 ? await readlink(at).catch(() => undefined) : undefined;
  if (target === undefined) return { at, exists: false };
  // Not `path.join`, which takes `..` for what stands before it, and the kernel for what that leads to.
  const next = path.isAbsolute(target) ? target : `${folder}/${target}`;
  return await whereItLeads(next, linksLeft - 1);
}
