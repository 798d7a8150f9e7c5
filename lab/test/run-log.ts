import { appendFileSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { inProject } from '../core/project.ts';

/** Says things on the terminal and keeps them in a file. */
export class RunLog {
  readonly file: string;

  constructor() {
    const time = new Date().toISOString().replaceAll(/[:.]/g, '-');
    this.file = inProject('build/test-logs', `${time}-${process.pid}.log`);
    mkdirSync(path.dirname(this.file), { recursive: true });
  }

  readonly say = (text: string): void => {
    console.log(text);
    // At once, so that it is there even if this process is killed.
    appendFileSync(this.file, `${text}\n`);
  };
}
