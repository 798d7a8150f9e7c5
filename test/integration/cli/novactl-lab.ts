import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { runCli } from '../../../src/cli/program.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { ServedAgent } from './served-agent.ts';

/** A fake agent, and novactl with a contexts file that leads to it. */
export async function startLab() {
  const served = await ServedAgent.start();
  const { agent, folder, address } = served;
  const config = path.join(folder, 'novactl.yaml');
  await writeFile(config, `contexts: {a: {address: '${address}'}}\ncurrent: a\n`);
  return {
    agent,
    folder,
    /** Runs novactl against the agent. */
    async novactl(
      words: string | readonly string[],
      given: { io?: FakeCliIo; stdin?: string } = {},
    ) {
      const io = given.io ?? new FakeCliIo();
      io.env['NOVACTL_CONFIG'] = config;
      io.stdin = given.stdin ?? '';
      const code = await runCli(typeof words === 'string' ? words.split(' ') : words, io);
      return { code, stdout: io.stdout.text, stderr: io.stderr.text };
    },
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
}

export const MANIFEST = `
apiVersion: novacron.io/v1alpha1
kind: VirtualMachine
metadata: {name: web, uid: 3f1c2d4e-0000-4000-8000-0000000000aa, labels: {app: web}}
spec:
  runStrategy: Always
  template:
    spec:
      resources: {cpu: 2, memory: 1Gi}
      firmware: {type: uefi}
      volumes: [{name: root, format: qcow2, source: {file: {path: /a.qcow2}}, bootOrder: 1}]
`;
/** Of another VM, without a uid. */
export const OTHER = MANIFEST.replace(
  '{name: web, uid: 3f1c2d4e-0000-4000-8000-0000000000aa',
  '{name: db',
);
