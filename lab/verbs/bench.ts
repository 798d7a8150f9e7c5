import { glob } from 'node:fs/promises';
import path from 'node:path';
import { inProject, LabError } from '../core/project.ts';
import { runAttached } from '../core/run-command.ts';
import { removeLabsOf } from '../remove-lab.ts';
import type { Verb } from './verb.ts';

export const bench: Verb = {
  name: 'bench',
  usage: '[name] [options]',
  summary: 'runs a measurement of bench/; without a name it lists them',
  async run([name, ...args], signal) {
    const files = await Array.fromAsync(glob('*.ts', { cwd: inProject('bench') }));
    const names = files.map((file) => path.basename(file, '.ts')).toSorted();
    if (name === undefined) {
      console.log(names.length === 0 ? 'There is nothing in bench/' : names.join('\n'));
      return 0;
    }
    if (!names.includes(name)) {
      throw new LabError(`There is no bench/${name}.ts; there are: ${names.join(', ')}`);
    }
    let pid: number | undefined;
    const onStarted = (started: number): void => {
      pid = started;
    };
    const command = [process.execPath, inProject('bench', `${name}.ts`), ...args];
    try {
      return await runAttached(command, { onStarted }, signal);
    } finally {
      // It removes its lab itself, unless it was killed.
      if (pid !== undefined) await removeLabsOf(pid);
    }
  },
};
