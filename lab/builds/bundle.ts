import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmod, glob, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { type BuildOptions, build, type Plugin } from 'esbuild';
import { inProject } from '../core/project.ts';
import { serveSampleVm } from './sample-agent.ts';

/** What runs as a process or a thread of its own, or is loaded later, each beside whoever starts it. */
const AGENT = {
  main: 'src/agent/main.ts',
  daemon: 'src/agent/daemon.ts',
  'journal-worker': 'src/agent/journal/journal-worker.ts',
  'driver-process': 'src/drivers/libvirt/driver-process.ts',
  'probe-process': 'src/drivers/images/disk-probe/probe-process.ts',
  'image-process': 'src/drivers/images/image-process.ts',
  distribution: 'src/drivers/linux/distribution.ts',
};
const NOVACTL = { main: 'src/cli/main.ts', novactl: 'src/cli/novactl.ts' };

const WRITE_CODE = inProject('lab/builds/write-code.ts');
const C_FLAGS = ['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror'];
const C_LIBRARY = ['-fPIC', '-shared', '-pthread'];
/** What V8 compiles is the same whenever it does so. */
const SAME_SEED = '--random-seed=1';

/** zod's messages in all languages but English: a quarter of a megabyte that nobody reads. */
const ENGLISH_ONLY: Plugin = {
  name: 'english-only',
  setup(build) {
    build.onLoad({ filter: /\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: "export { default as en } from './en.js';",
    }));
  },
};

/** What these modules export is worked out here: what they have it from does not go into the program. */
const WORKED_OUT: Plugin = {
  name: 'worked-out',
  setup(build) {
    build.onLoad({ filter: /\/core\/resources\/resource-forms\.ts$/ }, async ({ path }) => {
      const values = Object.entries((await import(path)) as Record<string, unknown>);
      const lines = values.map(
        ([name, value]) => `export const ${name} = ${JSON.stringify(value)};`,
      );
      return { contents: lines.join('\n') };
    });
  },
};

/** Commander would have Node load this for programs that are commands, of which there are none. */
const LATER: Plugin = {
  name: 'later',
  setup(build) {
    build.onLoad({ filter: /\/commander\/lib\/command\.js$/ }, async ({ path: file }) => {
      const text = await readFile(file, 'utf8');
      const contents = text.replace(
        "const childProcess = require('node:child_process');",
        "const childProcess = { spawn: (...words) => require('node:child_process').spawn(...words) };",
      );
      if (contents === text) throw new Error(`${file} no longer requires node:child_process`);
      return { contents };
    });
  },
};

const OPTIONS: BuildOptions = {
  absWorkingDir: inProject(),
  bundle: true,
  platform: 'node',
  // Not ES modules, which have all that a part of Node offers made when it is first imported.
  format: 'cjs',
  target: 'node24',
  define: { 'import.meta.url': 'importMetaUrl' },
  banner: { js: "const importMetaUrl = require('node:url').pathToFileURL(__filename).href;" },
  // The first has a native part, which it looks for beside itself; the second only channelz and ORCA would load, which nobody asks for.
  external: ['koffi', '@grpc/proto-loader'],
  plugins: [ENGLISH_ONLY, WORKED_OUT, LATER],
  // What stays of names and lines is for whoever reads a stack trace at night.
  minifySyntax: true,
  minifyWhitespace: true,
  lineLimit: 120,
  legalComments: 'none',
  sourcemap: true,
  sourcesContent: false,
  logLevel: 'warning',
};

/**
 * Builds the agent and novactl into dist/: a file for each program, thread and process, and for what is loaded later, with the packages that it uses. To
 * read hundreds of files is most of what starting them would cost, and to keep each apart some of their memory.
 */
export async function bundle(): Promise<void> {
  const dist = inProject('dist');
  await rm(dist, { recursive: true, force: true });
  const define = { ...OPTIONS.define, BUILD_ID: JSON.stringify(await sourceDigest()) };
  await build({ ...OPTIONS, define, entryPoints: AGENT, outdir: 'dist/agent' });
  await build({ ...OPTIONS, define, entryPoints: NOVACTL, outdir: 'dist/cli' });
  const threads = ['call-threads.c', 'stream-relay.c'].map((file) => `native/call-threads/${file}`);
  await compile(threads, 'dist/agent/call-threads.so', C_LIBRARY);
  await compile(['native/memory/memory.c'], 'dist/agent/memory.node', C_LIBRARY);
  await compile(['native/digest/digest.c'], 'dist/agent/novacron-digest', ['-lcrypto']);
  for await (const file of glob(`${dist}/*/*.js`)) await makeAscii(file);
  await writeFile(`${dist}/package.json`, '{ "type": "commonjs" }\n');
  for (const program of ['agent/main.js', 'cli/main.js']) await chmod(`${dist}/${program}`, 0o755);
  await writeCode('agent/daemon.js');
  await writeNovactlCode(dist);
}

/** As for what people wait for most: with what takes an answer apart and shows it. */
async function writeNovactlCode(dist: string): Promise<void> {
  const contexts = `${dist}/none.yaml`;
  await writeFile(contexts, '');
  // In a folder of a short name: that of a socket may have 107 bytes.
  const folder = await mkdtemp(path.join(tmpdir(), 'novacron-'));
  try {
    const address = `unix:${folder}/agent.sock`;
    using _ = await serveSampleVm(address);
    const words = ['--config', contexts, '--address', address, 'vm', 'list'];
    await writeCode('cli/novactl.js', ...words);
  } finally {
    await rm(folder, { recursive: true });
    await rm(contexts);
  }
}

/** Of all that programs are made of. */
async function sourceDigest(): Promise<string> {
  const files = await Array.fromAsync(glob('src/**/*.ts', { cwd: inProject() }));
  const digest = createHash('sha256');
  for (const file of [...files.toSorted(), 'package-lock.json']) {
    digest.update(`${file}\n`).update(await readFile(inProject(file)));
  }
  return digest.digest('hex').slice(0, 16);
}

/** Words: those that the program is started with. Whoever builds it, the same comes of it. */
async function writeCode(program: string, ...words: readonly string[]): Promise<void> {
  const args = [SAME_SEED, WRITE_CODE, `${inProject('dist')}/${program}`, ...words];
  await promisify(execFile)(process.execPath, args, { env: {} });
}

/** By the C compiler of the machine. A library becomes a part of the process that loads it; a program may need those of the system. */
async function compile(
  sources: readonly string[],
  output: string,
  kind: readonly string[],
): Promise<void> {
  const files = sources.map((file) => inProject(file));
  const args = [...C_FLAGS, '-o', inProject(output), ...files, ...kind];
  try {
    await promisify(execFile)(process.env['CC'] ?? 'cc', args);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new Error(`Needs a C compiler (Debian: apt-get install gcc libc6-dev libssl-dev)`, {
      cause: error,
    });
  }
}

/** With a single letter beyond Latin-1, as esbuild leaves in comments and regular expressions, V8 keeps twice as much of the text. */
async function makeAscii(file: string): Promise<void> {
  const text = await readFile(file, 'utf8');
  await writeFile(file, text.replaceAll(/[^\0-\x7f]/g, escaped));
}

function escaped(letter: string): string {
  return `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

if (import.meta.main) await bundle();
