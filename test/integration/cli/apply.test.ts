import assert from 'node:assert/strict';
import { mkdtempDisposable, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { ServedNode } from './served-node.ts';

const MANIFEST = `
apiVersion: novacron.io/v1alpha1
kind: VirtualMachine
metadata: {name: web, labels: {app: web}}
spec:
  runStrategy: Manual
  template:
    spec:
      resources: {cpu: 1, memory: 64Mi}
      kernel: {path: /boot/vmlinuz}
`;

test('applying what get -o yaml prints changes nothing', async () => {
  await using served = await ServedNode.start();
  const made = await served.novactl('vm apply -f -', MANIFEST);
  assert.deepEqual(made, { code: 0, stdout: 'VM default/web created (Stopped)\n', stderr: '' });
  await served.novactl('vm start web');
  const { stdout: printed } = await served.novactl('vm get web -o yaml');
  assert.match(printed, /^apiVersion: novacron\.io\/v1alpha1\nkind: VirtualMachine\nmetadata:\n/);
  const again = await served.novactl('vm apply -f -', printed);
  assert.deepEqual(again, { code: 0, stdout: 'VM default/web unchanged\n', stderr: '' });
});

test('a change is said field by field, first as it would be, and waits for the next start', async () => {
  await using served = await ServedNode.start();
  await served.novactl('vm apply -f -', MANIFEST);
  await served.novactl('vm start web');
  const changed = MANIFEST.replace('memory: 64Mi', 'memory: 80Mi').replace(
    'app: web',
    'tier: front',
  );
  const fields = `  metadata.labels.app: web -> not set (now)
  metadata.labels.tier: not set -> front (now)
  spec.template.spec.resources.memory: 64Mi -> 80Mi (at the next start)
`;
  const dry = await served.novactl('vm apply --dry-run -f -', changed);
  assert.equal(dry.stdout, `VM default/web would be changed\n${fields}`);
  const done = await served.novactl('vm apply --generation 1 -f -', changed);
  assert.equal(done.stdout, `VM default/web changed\n${fields}`);
  assert.match((await served.novactl('vm list -o wide')).stdout, / resources\.memory /);
  const { stdout: shown } = await served.novactl('vm get web');
  assert.equal(
    shown.slice(shown.lastIndexOf('\n\n') + 2),
    `FIELD                                 IN FORCE   WANTED   WAITS FOR
spec.template.spec.resources.memory   64Mi       80Mi     the next start
`,
  );
  const { stdout: yaml } = await served.novactl('vm get web -o yaml');
  assert.match(
    yaml,
    / {2}pendingChanges:\n {4}- field: spec\.template\.spec\.resources\.memory\n {6}live: 64Mi\n {6}wanted: 80Mi\n/,
  );
  const back = changed.replace('memory: 80Mi', 'memory: 64Mi');
  await served.novactl('vm apply -f -', back);
  assert.doesNotMatch((await served.novactl('vm get web')).stdout, /NEXT START/);
  await served.novactl('vm apply -f -', changed);
  const stale = await served.novactl('vm apply --generation 1 -f -', MANIFEST);
  assert.equal(stale.code, 4);
  assert.match(stale.stderr, /has generation 4, not 1.*\(GENERATION_MISMATCH\)/);
});

test('what the agent cannot do is refused by field, and what has no effect is warned of', async () => {
  await using served = await ServedNode.start();
  const wanted = `${MANIFEST}      nodeSelector: {disk: fast}\n`;
  const warned = await served.novactl('vm apply --dry-run -f -', wanted);
  assert.match(
    warned.stderr,
    /^Warning: VM default\/web: spec\.template\.spec\.nodeSelector is kept and has no effect/,
  );
  const refused = await served.novactl(
    'vm apply -f -',
    `${wanted}      networks: [{name: lan, type: ovs}]\n`,
  );
  assert.equal(refused.code, 4);
  assert.match(
    refused.stderr,
    /^Error in standard input: .*spec\.template\.spec\.networks\[0\]\.type is not supported: .*\(NOT_SUPPORTED\)\nWhat to do: Leave out/,
  );
});

test('create refuses a VM that is there with another spec, and says that apply changes it', async () => {
  await using served = await ServedNode.start();
  await served.novactl('vm create -f -', MANIFEST);
  const { code, stderr } = await served.novactl(
    'vm create -f -',
    MANIFEST.replace('memory: 64Mi', 'memory: 80Mi'),
  );
  assert.equal(code, 4);
  assert.match(
    stderr,
    /VM_ALREADY_EXISTS\)\nWhat to do: Change the VM .* novactl vm apply -f FILE/,
  );
});

test('a cordon refuses a VM that would start, with the reason given', async () => {
  await using served = await ServedNode.start();
  await served.novactl('node cordon --reason maintenance');
  const { code, stderr } = await served.novactl(
    'vm apply -f -',
    MANIFEST.replace('Manual', 'Always'),
  );
  assert.equal(code, 4);
  assert.match(stderr, /maintenance.*\(NODE_CORDONED\)\nWhat to do: .*novactl node uncordon/);
});

test('a secret that a manifest names may be given from a file, and one that none names is refused', async () => {
  await using served = await ServedNode.start();
  await using folder = await mkdtempDisposable(path.join(tmpdir(), 'novacron-secret-'));
  const file = path.join(folder.path, 'password');
  await writeFile(file, 'hunter2\n');
  const kernel = '      kernel: {path: /boot/vmlinuz}\n';
  const manifest = MANIFEST.replace(kernel, `${kernel}      cloudInit: {passwordSecret: web}\n`);
  const missing = await served.novactl('vm apply -f -', manifest);
  assert.equal(missing.code, 4);
  assert.match(missing.stderr, /SECRET_NOT_FOUND/);
  const made = await served.novactl(`vm apply --secret web=${file} -f -`, manifest);
  assert.deepEqual(made, { code: 0, stdout: 'VM default/web created (Stopped)\n', stderr: '' });
  const volumes =
    '      volumes: [{name: data, size: 1Gi, encryption: {secret: key}}, {name: log, size: 1Gi, encryption: {secret: key}}]\n';
  const encrypted = manifest.replace('name: web', 'name: vault').replace(kernel, kernel + volumes);
  const two = `--secret web=${file} --secret key=${file}`;
  const vault = await served.novactl(`vm apply ${two} -f -`, encrypted);
  assert.deepEqual(vault, {
    code: 0,
    stdout: 'VM default/vault created (Stopped)\n',
    stderr: '',
  });
  const other = await served.novactl(`vm apply --secret wbe=${file} -f -`, manifest);
  assert.equal(other.code, 4);
  assert.match(other.stderr, /Cannot use --secret wbe: no manifest names it/);
  const wrong = await served.novactl(`vm apply --secret ${file} -f -`, manifest);
  assert.match(wrong.stderr, /--secret is NAME=FILE/);
  const gone = await served.novactl(`vm create --secret web=${file}.gone -f -`, manifest);
  assert.match(gone.stderr, /Cannot read the secret in .*\.gone: it does not exist/);
});
