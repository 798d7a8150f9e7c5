import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { parse } from 'yaml';
import { startLab } from './novactl-lab.ts';
import { ServedNode } from './served-node.ts';

const PYTHON = '/usr/bin/python3';
const skip =
  spawnSync(PYTHON, ['-c', 'import yaml']).status !== 0 && 'python3-yaml is not installed';
const LABELS = {
  country: 'no',
  flag: 'off',
  day: '2024-01-01',
  n: '1_000',
  exp: '1e3',
  oct: '0o7',
};
const ANNOTATIONS = {
  at: '1:30',
  on: 'yes',
  nothing: '~',
  text: 'two\nlines: 1 # none',
  '007': '',
};
const MANIFEST = JSON.stringify({
  apiVersion: 'novacron.io/v1alpha1',
  kind: 'VirtualMachine',
  metadata: { name: 'web', labels: LABELS, annotations: ANNOTATIONS },
  spec: {
    runStrategy: 'Manual',
    template: {
      spec: { resources: { cpu: '1', memory: '64Mi' }, kernel: { path: '/boot/vmlinuz' } },
    },
  },
});

test('what get prints is the same text for readers of YAML 1.1', async () => {
  await using served = await ServedNode.start();
  assert.equal((await served.novactl('vm apply -f -', MANIFEST)).code, 0);
  const { stdout } = await served.novactl('vm get web -o yaml');
  const { metadata } = parse(stdout, { version: '1.1' });
  assert.deepEqual(metadata.labels, LABELS);
  assert.deepEqual(metadata.annotations, ANNOTATIONS);
});

test('what PyYAML reads and writes of it can be applied and changes nothing', {
  skip,
}, async () => {
  await using served = await ServedNode.start();
  assert.equal((await served.novactl('vm apply -f -', MANIFEST)).code, 0);
  const { stdout } = await served.novactl('vm list -o yaml');
  const script = 'import sys, yaml; yaml.safe_dump(yaml.safe_load(sys.stdin), sys.stdout)';
  const written = execFileSync(PYTHON, ['-c', script], { input: stdout }).toString();
  assert.match(written, /exp: 1e3\n/);
  const again = await served.novactl('vm apply -f -', written);
  assert.deepEqual(again, { code: 0, stdout: 'VM default/web unchanged\n', stderr: '' });
});

test('a number where text belongs is refused with what to write', async () => {
  await using served = await ServedNode.start();
  const wrong = MANIFEST.replace('"no"', '1001').replace('"1:30"', 'true');
  const { code, stderr } = await served.novactl('vm apply -f -', wrong);
  assert.equal(code, 4);
  assert.match(stderr, /metadata\.labels\.country must be text: write it in quotes, "1001"/);
  assert.match(
    stderr,
    /^ {2}metadata\.annotations\.at: must be text: write it in quotes, "true"$/m,
  );
});

test('a node named 1001 is one wherever it is named', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  const config = path.join(lab.folder, 'digits.yaml');
  const address = `unix:${lab.folder}/agent.sock`;
  await writeFile(config, `contexts: {1001: {address: '${address}'}}\ncurrent: 1001\n`);
  const words = `--config ${config}`;
  assert.equal((await lab.novactl(`${words} vm get web`)).code, 0);
  assert.equal((await lab.novactl(`${words} --node 1001 vm get web`)).code, 0);
  const completed = await lab.novactl(`__complete -- ${words} --node 1`);
  assert.equal(completed.stdout, `1001\t${address}\n`);
  const started = await lab.novactl('migrate web --to 1001 --no-wait -o yaml');
  assert.match(started.stdout, /^ {4}nodeName: "1001"$/m);
});
