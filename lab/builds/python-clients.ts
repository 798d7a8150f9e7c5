import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { inProject } from '../core/project.ts';
import { run } from '../core/run-command.ts';

// Debian's Python, whatever else is called python3 on this machine.
const SCRIPT = `
[ "$(cat "$1/stamp" 2>/dev/null)" != "$3" ] || exit 0
rm -rf "$1"
/usr/bin/python3 -m venv "$1"
"$1/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary=:all: --requirement "$2"
echo "$3" >"$1/stamp"`;

/** Installs what clients in Python need, from PyPI, unless it is there; returns the interpreter that has it. */
export async function installPythonClients(signal: AbortSignal): Promise<string> {
  return await installPython('clients/python', 'test/clients/requirements.txt', signal);
}

/** The same of an S3 to fetch images from. */
export async function installS3Server(signal: AbortSignal): Promise<string> {
  return await installPython('s3-server', 'test/fixtures/images/requirements.txt', signal);
}

async function installPython(
  name: string,
  requirements: string,
  signal: AbortSignal,
): Promise<string> {
  const folder = inProject(`build/${name}`);
  const file = inProject(requirements);
  const wanted = createHash('sha256')
    .update(await readFile(file))
    .digest('hex');
  await mkdir(path.dirname(folder), { recursive: true });
  // Two tests that need it may begin at once.
  const words = ['sh', '-e', '-c', SCRIPT, 'sh', folder, file, wanted];
  await run(['flock', `${folder}.lock`, ...words], {}, signal);
  return `${folder}/bin/python`;
}
