import { createHash } from 'node:crypto';
import {
  chmod,
  copyFile,
  glob,
  mkdir,
  mkdtempDisposable,
  readFile,
  stat,
  writeFile,
} from 'node:fs/promises';
import path from 'node:path';
import { buildAgent, buildStreamer } from '../builds/build-outputs.ts';
import { inProject, LabError } from '../core/project.ts';
import { run, tryRun } from '../core/run-command.ts';
import { findLibraries, PACKAGE_NAME, renderControl } from './control.ts';
import { LINKED, layOut } from './installed-tree.ts';

export interface PackageOptions {
  readonly version?: string | undefined;
  /** Whether it is left uncompressed, for whoever throws it away again. */
  readonly isQuick?: boolean | undefined;
  /** Where the file is to lie; `build/package` if not given. */
  readonly folder?: string | undefined;
}

export interface DebianPackage {
  readonly file: string;
  readonly version: string;
  readonly bytes: number;
}

const FOLDER = inProject('build/package');
const SCRIPTS = ['postinst', 'prerm', 'postrm'];
const VERSION = /^[0-9][A-Za-z0-9.+~-]*$/;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64' };

/**
 * Builds the package of this source: the same one, byte for byte, from the same source on the same release of Debian. Its
 * version is that of package.json unless another is given, as tests of upgrades do.
 */
export async function buildDebianPackage(
  { version, isQuick = false, folder: target = FOLDER }: PackageOptions,
  signal: AbortSignal,
): Promise<DebianPackage> {
  const chosen = version ?? (await sourceVersion());
  if (!VERSION.test(chosen)) {
    throw new LabError(`"${chosen}" is no version of a Debian package, such as 0.2.0 or 0.2.0~rc1`);
  }
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new LabError(`There is no package for ${process.arch} yet`);
  await buildAgent(signal);
  await buildStreamer(signal);
  await mkdir(FOLDER, { recursive: true });
  await using folder = await mkdtempDisposable(path.join(FOLDER, 'root-'));
  const root = path.join(folder.path, 'root');
  await layOut(root, chosen, signal);
  const linked = LINKED.map((file) => path.join(root, file));
  const libraries = await findLibraries(linked, folder.path, signal);
  const installedKiB = await addChecksums(root);
  const facts = { version: chosen, architecture, installedKiB, libraries };
  await writeFile(path.join(root, 'DEBIAN/control'), renderControl(facts));
  for (const script of SCRIPTS) {
    const file = path.join(root, 'DEBIAN', script);
    await copyFile(inProject('deploy/debian', script), file);
    await chmod(file, 0o755);
  }
  const file = path.join(target, `${PACKAGE_NAME}_${chosen}_${architecture}.deb`);
  const env = { ...process.env, SOURCE_DATE_EPOCH: await sourceDate(signal) };
  // Ten times as fast as xz to pack and to unpack, for a third more; Debian 12's dpkg knows it.
  const packing = isQuick ? ['-Znone'] : ['-Zzstd', '-z9'];
  const pack = ['dpkg-deb', '--root-owner-group', ...packing, '--build', root, file];
  await run(pack, { env }, signal);
  return { file, version: chosen, bytes: (await stat(file)).size };
}

async function sourceVersion(): Promise<string> {
  const text = await readFile(inProject('package.json'), 'utf8');
  return (JSON.parse(text) as { readonly version: string }).version;
}

/** The commit's, so that a later build of it is the same. */
async function sourceDate(signal: AbortSignal): Promise<string> {
  const given = process.env['SOURCE_DATE_EPOCH'];
  if (given !== undefined) return given;
  const commit = ['git', '-C', inProject(), 'log', '-1', '--format=%ct'];
  const { code, stdout } = await tryRun(commit, {}, signal);
  return code === 0 ? stdout.trim() : '0';
}

/** Writes what `dpkg --verify` compares with; returns the size of all files as dpkg counts it. */
async function addChecksums(root: string): Promise<number> {
  const lines: string[] = [];
  let kib = 0;
  for await (const entry of glob('**/*', { cwd: root, withFileTypes: true })) {
    kib += 1;
    if (!entry.isFile()) continue;
    const file = path.join(entry.parentPath, entry.name);
    const content = await readFile(file);
    kib += Math.ceil(content.length / 1024) - 1;
    lines.push(
      `${createHash('md5').update(content).digest('hex')}  ${path.relative(root, file)}\n`,
    );
  }
  await mkdir(path.join(root, 'DEBIAN'), { mode: 0o755 });
  await writeFile(path.join(root, 'DEBIAN/md5sums'), lines.toSorted(byPath).join(''));
  return kib;
}

function byPath(one: string, other: string): number {
  return one.slice(34) < other.slice(34) ? -1 : 1;
}
