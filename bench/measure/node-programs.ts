import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { inProject, LabError } from '../../lab/core/project.ts';
import { run } from '../../lab/core/run-command.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { type Spread, spreadOf, timesMs } from './spread.ts';
import type { VmNode } from './vm-node.ts';

/* What clients in processes of their own see of an agent. */

/** Or V8 lets garbage of the client's own pile up and then takes up to 50 ms at once for it, which is none of the agent's time. */
const SMALL_YOUNG_OBJECTS = ['--max-semi-space-size=1', '--single-threaded-gc'];
const HTTP = 'http://127.0.0.1:7480';

function client(name: string): string[] {
  return [process.execPath, inProject('bench/clients', `${name}.ts`)];
}

/** In the node's network, as its pages are served on the node's own loopback. */
function onLoopback(node: LabNode, words: readonly string[]): string[] {
  return ['nsenter', `--target=${node.initPid}`, '--net', ...words];
}

export async function listTimes(
  node: VmNode,
  rounds: number,
  signal: AbortSignal,
): Promise<{ readonly listed: number; readonly spread: Spread }> {
  const [program = '', ...words] = client('lister');
  const command = [program, ...SMALL_YOUNG_OBJECTS, ...words, node.address, String(rounds)];
  const said = await run(command, {}, signal);
  const { listed, times } = JSON.parse(said) as { listed: number; times: number[] };
  return { listed, spread: spreadOf(times) };
}

export async function scrapeTimes(
  { machine }: VmNode,
  rounds: number,
  signal: AbortSignal,
): Promise<Spread> {
  const words = [...client('scraper'), `${HTTP}/metrics`, String(rounds)];
  const said = await run(onLoopback(machine, words), {}, signal);
  return spreadOf(JSON.parse(said) as number[]);
}

/** Of a command as a whole process; the first one, which reads its files, is not counted. */
export async function commandTimes(
  command: readonly string[],
  rounds: number,
  signal: AbortSignal,
): Promise<Spread> {
  const once = () => run(command, {}, signal);
  await once();
  return spreadOf(await timesMs(rounds, once));
}

/** From the execution of the agent's program to its own word that it is ready. */
export async function startTimes(
  node: VmNode,
  rounds: number,
  signal: AbortSignal,
): Promise<Spread> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) times.push(await startTime(node, signal));
  return spreadOf(times);
}

async function startTime(node: VmNode, signal: AbortSignal): Promise<number> {
  const { machine } = node;
  await machine.agent.stop(signal);
  const [program = '', ...words] = onLoopback(machine, [
    ...client('ready-prober'),
    `${HTTP}/readyz`,
  ]);
  const prober = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'], signal });
  // Told to end with this program, it is not waited for any more.
  prober.once('error', () => undefined);
  let said = '';
  prober.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await once(prober.stdout, 'data', { signal });
  const ended = once(prober, 'close', { signal });
  await node.launchAgent(signal);
  const [code] = await ended;
  if (code !== 0) throw new LabError(`The agent was not ready:\n${machine.logTail('agent')}`);
  return Number(said.trim().split('\n').at(-1)) - (await node.startedAtMs());
}
