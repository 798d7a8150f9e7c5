import { existsSync } from 'node:fs';
import { inProject } from '../core/project.ts';
import { Lab } from '../lab.ts';
import { contextsFile } from '../node/novactl-contexts.ts';
import type { Verb } from './verb.ts';

export const ctl: Verb = {
  name: 'ctl',
  usage: '[--node a|b] ...',
  summary: 'novactl on node a of the lab; --node b-viewer asks b over the network as a viewer',
  async run(args, signal) {
    const lab = await Lab.open();
    const built = inProject('dist/cli/main.js');
    const main = existsSync(built) ? built : inProject('src/cli/main.ts');
    const environment = { NOVACTL_CONFIG: contextsFile(lab.plan) };
    const chosen = args[args.indexOf('--node') + 1];
    const node = lab.nodes.find(({ name }) => name === chosen) ?? lab.node('a');
    const command = args.find((word, at) => !word.startsWith('-') && args[at - 1] !== '--node');
    const settings = command === 'doctor' ? ['--agent-config', node.agent.configPath] : [];
    return node.runAttached([process.execPath, main, ...args, ...settings], environment, signal);
  },
};
