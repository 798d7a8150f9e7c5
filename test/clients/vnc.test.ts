import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { inProject } from '../../lab/core/project.ts';
import { run } from '../../lab/core/run-command.ts';
import { Lab } from '../../lab/lab.ts';
import { contextsFile } from '../../lab/node/novactl-contexts.ts';
import { API_VERSION } from '../../src/core/resources/api-version.ts';
import { OwnedProcess } from '../fixtures/owned-process.ts';

/* A VNC client of somebody else's sees the screen of a VM through novactl, which is not on the node. */

const MANIFEST = {
  apiVersion: API_VERSION,
  kind: 'VirtualMachine',
  metadata: { name: 'screen' },
  spec: {
    template: {
      spec: {
        resources: { cpu: 1, memory: '512Mi' },
        display: {},
        volumes: [{ name: 'cd', kind: 'cdrom' }],
      },
    },
  },
};
/** VNC counts its displays from this port. */
const FIRST_PORT = 5900;

test('gvnccapture sees what novactl vm screenshot sees', async ({ signal }) => {
  await using lab = await Lab.create({ nodes: ['a'] }, signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  const env = { NOVACTL_CONFIG: contextsFile(lab.plan) };
  const novactl = [process.execPath, inProject('dist/cli/main.js'), '--node', 'a'];
  const { directory } = lab.plan;
  await run(
    [...novactl, 'vm', 'create', '-f', '-'],
    { env, input: JSON.stringify(MANIFEST) },
    signal,
  );
  const shot = path.join(directory, 'shot.png');
  await run([...novactl, 'vm', 'screenshot', 'screen', '--file', shot], { env }, signal);

  const [node, ...words] = [...novactl, 'vm', 'vnc', 'screen'];
  const all = { ...process.env, ...env };
  await using vnc = new OwnedProcess(
    spawn(node, words, { env: all, stdio: ['ignore', 'pipe', 'inherit'] }),
  );
  const said = await vnc.nextLine();
  const port = Number(/127\.0\.0\.1:(\d+)/.exec(said)?.[1]);
  assert.ok(port > FIRST_PORT, said);
  const captured = path.join(directory, 'captured.png');
  await run(['gvnccapture', '--quiet', `127.0.0.1:${port - FIRST_PORT}`, captured], {}, signal);
  assert.deepEqual(sizeOf(await readFile(captured)), sizeOf(await readFile(shot)));
});

function sizeOf(png: Buffer): readonly [number, number] {
  assert.equal(png.toString('latin1', 1, 4), 'PNG');
  return [png.readUInt32BE(16), png.readUInt32BE(20)];
}
