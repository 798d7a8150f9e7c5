import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { AgentError } from '../../core/errors.ts';
import { whyUnreadable } from '../../core/file-words.ts';
import type { CliIo } from '../process/cli-io.ts';
import type { ManifestOptions } from './manifest-options.ts';

/** Something that was given, by the name that people know it by: what it says, or why it cannot be used. */
export type ManifestPart<T> = { readonly where: string } & (
  | { readonly value: T }
  | { readonly error: AgentError }
);

const MANIFEST = /\.(yaml|yml|json)$/;

/** The texts of files, of folders' files in the order of their names, and of standard input. */
export async function readManifestFiles(
  { filename, recursive = false }: Pick<ManifestOptions, 'filename' | 'recursive'>,
  io: CliIo,
): Promise<readonly ManifestPart<string>[]> {
  const parts: ManifestPart<string>[] = [];
  for (const name of filename) {
    if (name === '-') {
      parts.push({ where: 'standard input', value: await io.readStdin() });
      continue;
    }
    const files = await readable(name, () => filesOf(name, recursive));
    if ('error' in files) {
      parts.push(files);
      continue;
    }
    for (const file of files.value) parts.push(await readable(file, () => readFile(file, 'utf8')));
  }
  return parts;
}

/** A file itself, or the manifests of a folder. */
async function filesOf(name: string, recursive: boolean): Promise<readonly string[]> {
  if (!(await stat(name)).isDirectory()) return [name];
  const entries = await readdir(name, { recursive, withFileTypes: true });
  const files = entries
    .filter((entry) => !entry.isDirectory() && MANIFEST.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
    .toSorted();
  if (files.length > 0) return files;
  const advice = recursive ? '' : '; -R looks into its folders as well';
  throw new AgentError(
    'INVALID_REQUEST',
    `Cannot find a manifest in the folder ${name}: it has no *.yaml, *.yml or *.json${advice}`,
  );
}

async function readable<T>(where: string, read: () => Promise<T>): Promise<ManifestPart<T>> {
  try {
    return { where, value: await read() };
  } catch (cause) {
    if (cause instanceof AgentError) return { where, error: cause };
    const why = /^https?:/.test(where)
      ? 'an address is not fetched; do that with curl or the like, and give what it prints as -f -'
      : whyUnreadable(cause);
    const message = `Cannot read ${where}: ${why}`;
    return { where, error: new AgentError('INVALID_REQUEST', message, { cause }) };
  }
}
