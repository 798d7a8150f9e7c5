import { buildAgent, buildStreamer } from '../builds/build-outputs.ts';
import { step } from '../core/steps.ts';
import { ensureDemoGuest } from '../guest/demo-guest.ts';
import type { Verb } from './verb.ts';

export const build: Verb = {
  name: 'build',
  usage: '',
  summary: 'builds the agent and novactl (dist/), the streamer and the demo guest (build/)',
  async run(_args, signal) {
    await buildAll(signal);
    return 0;
  },
};

export async function buildAll(signal: AbortSignal): Promise<void> {
  await step('Building the agent and novactl', () => buildAgent(signal));
  await step('Building the streamer', () => buildStreamer(signal));
  await step('Building the demo guest', () => ensureDemoGuest(signal));
}
