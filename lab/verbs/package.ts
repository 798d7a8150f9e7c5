import { parseArgs } from 'node:util';
import { formatBytes } from '../../src/cli/output/quantities.ts';
import { inProject, LabError } from '../core/project.ts';
import { step } from '../core/steps.ts';
import { buildDebianPackage } from '../package/debian-package.ts';
import type { Verb } from './verb.ts';

// `package` is a word of the language.
export const packageVerb: Verb = {
  name: 'package',
  usage: '[--version V]',
  summary:
    'builds the Debian package of the agent, novactl, the streamer and their Node (build/package/)',
  async run(args, signal) {
    const version = parseVersion(args);
    const { file, bytes } = await step(
      'Building the Debian package',
      () => buildDebianPackage({ version }, signal),
      (built) => `version ${built.version}`,
    );
    const shown = file.startsWith(inProject('/')) ? file.slice(inProject('/').length) : file;
    console.log(`${shown}, ${formatBytes(BigInt(bytes))}\nInstall it with: apt install ./${shown}`);
    return 0;
  },
};

function parseVersion(args: readonly string[]): string | undefined {
  try {
    const { values } = parseArgs({ args: [...args], options: { version: { type: 'string' } } });
    return values.version;
  } catch (error) {
    throw new LabError(error instanceof Error ? error.message : String(error));
  }
}
