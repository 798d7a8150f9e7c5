import { AgentError } from '../src/core/errors.ts';
import { guardOutput } from './core/output.ts';
import { LabError } from './core/project.ts';
import { VERBS } from './verbs/help.ts';

const problemOfOutput = guardOutput();
const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.once(name, () => {
    stop.abort(new LabError(`Stopped by ${name}`));
  });
}

const [name = 'help', ...args] = process.argv.slice(2);
try {
  process.exitCode = await main();
} catch (error) {
  // What the user can act on needs no stack; anything else is a fault of the lab.
  if (!(error instanceof LabError || error instanceof AgentError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
const problem = problemOfOutput();
if (problem !== undefined) {
  console.error(`Cannot write the output: ${problem}`);
  process.exitCode ||= 1;
}

async function main(): Promise<number> {
  const verb = VERBS.find((candidate) => candidate.name === name);
  if (verb?.usage === '' && args.length > 0) {
    throw new LabError(`./dev ${name} takes nothing after it, but ${args.join(' ')} is given`);
  }
  if (verb !== undefined) return verb.run(args, stop.signal);
  const help = VERBS.find((candidate) => candidate.name === 'help');
  console.error(`There is no ./dev ${name}`);
  await help?.run([], stop.signal);
  return 2;
}
