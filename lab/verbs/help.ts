import { bench } from './bench.ts';
import { build } from './build.ts';
import { check } from './check.ts';
import { ctl } from './ctl.ts';
import { demo } from './demo.ts';
import { down } from './down.ts';
import { logs } from './logs.ts';
import { packageVerb } from './package.ts';
import { status } from './status.ts';
import { test } from './test.ts';
import { up } from './up.ts';
import type { Verb } from './verb.ts';

const help: Verb = {
  name: 'help',
  usage: '',
  summary: 'shows this',
  async run() {
    console.log('./dev VERB: NovaCron on one machine\n');
    const width = Math.max(...VERBS.map((verb) => `${verb.name} ${verb.usage}`.length)) + 2;
    for (const verb of VERBS) {
      console.log(`  ${`${verb.name} ${verb.usage}`.padEnd(width)}${verb.summary}`);
    }
    return Promise.resolve(0);
  },
};

export const VERBS: readonly Verb[] = [
  up,
  down,
  status,
  ctl,
  logs,
  build,
  check,
  test,
  bench,
  demo,
  packageVerb,
  help,
];
