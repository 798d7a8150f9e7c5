import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { glob, mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { inProject } from '../core/project.ts';
import { run } from '../core/run-command.ts';

const STREAMER_BUILD = inProject('build/streamer');
const STAMP = inProject('build/lab/dist-stamp');

/** Builds the agent and novactl in dist/, unless their sources are as they were. */
export async function buildAgent(signal: AbortSignal): Promise<void> {
  const sources = await fingerprintSources();
  const built = await readFile(STAMP, 'utf8').catch(() => '');
  if (built === sources && existsSync(inProject('dist'))) return;
  await run([process.execPath, inProject('lab/builds/bundle.ts')], { cwd: inProject() }, signal);
  await mkdir(inProject('build/lab'), { recursive: true });
  await writeFile(STAMP, sources);
}

/** Builds the streamer; ninja knows what has changed. */
export async function buildStreamer(signal: AbortSignal): Promise<void> {
  if (!existsSync(`${STREAMER_BUILD}/build.ninja`)) {
    const folders = ['-S', inProject('native/streamer'), '-B', STREAMER_BUILD];
    await run(['cmake', ...folders, '-G', 'Ninja', '-DCMAKE_BUILD_TYPE=Release'], {}, signal);
  }
  await run(['cmake', '--build', STREAMER_BUILD, '--target', 'novacron-streamer'], {}, signal);
}

async function fingerprintSources(): Promise<string> {
  const hash = createHash('sha256');
  const files = await Array.fromAsync(
    glob(
      [
        'src/**/*.ts',
        'lab/builds/{bundle,write-code}.ts',
        'native/{call-threads,digest,memory}/*.{c,h}',
        'package-lock.json',
      ],
      {
        cwd: inProject(),
      },
    ),
  );
  for (const file of files.toSorted()) {
    const { mtimeMs, size } = await stat(inProject(file));
    hash.update(`${file} ${mtimeMs} ${size}\n`);
  }
  return hash.digest('hex');
}
