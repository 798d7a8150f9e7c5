import { existsSync } from 'node:fs';
import { chmod, readdir } from 'node:fs/promises';
import path from 'node:path';
import { inProject } from '../core/project.ts';
import { run } from '../core/run-command.ts';

/** Go that can build them; 1.21 and later fetch it by themselves. */
const TOOLCHAIN = 'go1.26.8';
const FOLDER = inProject('build/clients/go');

/** A program from the Go module proxy. */
export interface GoTool {
  readonly package: string;
  readonly version: string;
}

export const GRPCURL: GoTool = {
  package: 'github.com/fullstorydev/grpcurl/cmd/grpcurl',
  version: 'v1.9.3',
};

/** Builds it, unless it is there; returns its path. */
export async function buildGoTool(tool: GoTool, signal: AbortSignal): Promise<string> {
  const folder = `${FOLDER}/${tool.version}`;
  const program = path.join(folder, path.basename(tool.package));
  if (existsSync(program)) return program;
  const go = await findGo(signal);
  const env = { ...process.env, ...go.env, GOBIN: folder, GOFLAGS: '-trimpath', CGO_ENABLED: '0' };
  await run([go.program, 'install', `${tool.package}@${tool.version}`], { env }, signal);
  return program;
}

/** Runs a program that calls `go`, and what `./dev` has installed, in a folder. */
export async function runWithGo(
  command: readonly string[],
  { folder, environment }: { readonly folder: string; readonly environment: NodeJS.ProcessEnv },
  signal: AbortSignal,
): Promise<void> {
  const go = await findGo(signal);
  const programs = [path.dirname(go.program), inProject('node_modules/.bin'), process.env['PATH']];
  const PATH = programs.filter((entry) => entry !== '.').join(path.delimiter);
  const env = { ...process.env, ...go.env, ...environment, PATH };
  await run(command, { cwd: folder, env }, signal);
}

interface Go {
  readonly program: string;
  readonly env: NodeJS.ProcessEnv;
}

async function findGo(signal: AbortSignal): Promise<Go> {
  const version = /^go1\.(\d+)/.exec((await run(['go', 'env', 'GOVERSION'], {}, signal)).trim());
  if (Number(version?.[1]) >= 21) return { program: 'go', env: { GOTOOLCHAIN: 'auto' } };
  return fetchToolchain(signal);
}

/** Debian 12's Go knows no toolchains, but can fetch one as the module that it is. */
async function fetchToolchain(signal: AbortSignal): Promise<Go> {
  const module = `golang.org/toolchain@v0.0.1-${TOOLCHAIN}.linux-${goArchitecture()}`;
  const said = await run(['go', 'mod', 'download', '-json', module], { cwd: '/' }, signal);
  const { Dir: root } = JSON.parse(said) as { readonly Dir: string };
  // Files of modules are not to be run.
  for (const folder of [`${root}/bin`, `${root}/pkg/tool/linux_${goArchitecture()}`]) {
    for (const name of await readdir(folder)) await chmod(path.join(folder, name), 0o755);
  }
  return { program: `${root}/bin/go`, env: { GOTOOLCHAIN: 'local', GOROOT: root } };
}

function goArchitecture(): string {
  return process.arch === 'x64' ? 'amd64' : process.arch;
}
