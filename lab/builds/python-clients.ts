import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { inProject } from '../core/project.ts';
import { run } from '../core/run-command.ts';

const FOLDER = inProject('build/clients/python');
const REQUIREMENTS = inProject('test/clients/requirements.txt');

/** Installs what clients in Python need, from PyPI, unless it is there; returns the interpreter that has it. */
export async function installPythonClients(signal: AbortSignal): Promise<string> {
  const python = `${FOLDER}/bin/python`;
  const stamp = `${FOLDER}/stamp`;
  const wanted = createHash('sha256')
    .update(await readFile(REQUIREMENTS))
    .digest('hex');
  if ((await readFile(stamp, 'utf8').catch(() => '')) === wanted) return python;
  await rm(FOLDER, { recursive: true, force: true });
  // Debian's, whatever else is called python3 on this machine.
  await run(['/usr/bin/python3', '-m', 'venv', FOLDER], {}, signal);
  const install = ['install', '--quiet', '--disable-pip-version-check', '--only-binary=:all:'];
  await run([python, '-m', 'pip', ...install, '--requirement', REQUIREMENTS], {}, signal);
  await writeFile(stamp, wanted);
  return python;
}
