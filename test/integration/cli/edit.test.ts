import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { ServedNode } from './served-node.ts';

const MAIN = path.resolve('src/cli/main.ts');
const MANIFEST = `
apiVersion: novacron.io/v1alpha1
kind: VirtualMachine
metadata: {name: web, labels: {app: web, country: "no"}}
spec:
  runStrategy: Manual
  template:
    spec:
      resources: {cpu: 1, memory: 64Mi}
      kernel: {path: /boot/vmlinuz}
`;

/** A node with VM web, and `edit`, in which an editor does that to the text. */
async function startLab() {
  const served = await ServedNode.start();
  assert.equal((await served.novactl('vm apply -f -', MANIFEST)).code, 0);
  const texts: string[] = [];
  return {
    served,
    /** What the editor was given. */
    texts,
    async edit(change: (text: string) => string | Promise<string>, words = 'vm edit web') {
      const io = new FakeCliIo();
      io.editor = async (file) => {
        const text = await readFile(file, 'utf8');
        texts.push(text);
        await writeFile(file, await change(text));
        return 0;
      };
      return served.novactl(words, '', { io });
    },
    async labels() {
      const { stdout } = await served.novactl('vm get web -o json');
      return JSON.parse(stdout).metadata.labels;
    },
    [Symbol.asyncDispose]: () => served[Symbol.asyncDispose](),
  };
}

/** The file in which an edit was kept; removes it. */
async function takeKept(stderr: string): Promise<string> {
  const file = /^The edit is kept in (\S+\.yaml)\. /m.exec(stderr)?.[1] ?? assert.fail(stderr);
  const text = await readFile(file, 'utf8');
  await rm(path.dirname(file), { recursive: true });
  return text;
}

// Others edit at the same time.
const folder = await mkdtemp(path.join(os.tmpdir(), 'novactl-edits-'));
process.env['TMPDIR'] = folder;
after(() => rm(folder, { recursive: true }));

const leftOvers = async () =>
  (await readdir(folder)).filter((name) => name.startsWith('novactl-edit-'));

test('what is saved is applied, field by field, and nothing is left of the file', async () => {
  await using lab = await startLab();
  const { code, stdout, stderr } = await lab.edit((text) => text.replace('app: web', 'app: shop'));
  const changed = 'VM default/web changed\n  metadata.labels.app: web -> shop (now)\n';
  assert.deepEqual([code, stdout, stderr], [0, changed, '']);
  assert.match(lab.texts[0] ?? '', /^# VM default\/web on node a, generation 1\./);
  assert.match(lab.texts[0] ?? '', /^ {4}country: "no"$/m);
  assert.doesNotMatch(lab.texts[0] ?? '', /uid|status|creationTimestamp/);
  assert.deepEqual(await lab.labels(), { app: 'shop', country: 'no' });
  assert.deepEqual(await leftOvers(), []);
});

test('a manifest that is left as it was, or empty, changes nothing', async () => {
  await using lab = await startLab();
  for (const change of [
    (text: string) => text,
    (text: string) => `${text}# a remark\n`,
    () => '',
    () => '# nothing\n',
  ]) {
    const { code, stdout } = await lab.edit(change);
    assert.deepEqual([code, stdout], [0, 'VM default/web unchanged\n']);
  }
  const { stdout } = await lab.served.novactl('operation list -o json');
  assert.deepEqual(
    JSON.parse(stdout).items.map((item: { operationKind: string }) => item.operationKind),
    ['Apply'],
  );
});

test('an edit that is refused is kept, and how to apply it is said', async () => {
  await using lab = await startLab();
  for (const [change, expected] of [
    [(text: string) => text.replace('memory: 64Mi', 'memory: 64MB'), /did you mean 64M or 64Mi\?/],
    [(text: string) => text.replace('cpu:', 'cpus:'), /unknown key; did you mean cpu\?/],
    [(text: string) => `${text}\n]`, /It is no YAML/],
    [(text: string) => text.replace('name: web', 'name: db'), /its name, namespace and uid stay/],
    [(text: string) => `${text}---\n${text}`, /it must be one document/],
    [(text: string) => text.replace('vmlinuz', 'none'), /which does not exist on this node/],
  ] as const) {
    const { code, stdout, stderr } = await lab.edit(change);
    assert.deepEqual([code, stdout], [4, '']);
    assert.match(stderr, expected);
    assert.match(stderr, /^ {2}novactl vm apply -f \S+ --generation 1 --address unix:/m);
    assert.equal(await takeKept(stderr), change(lab.texts.at(-1) ?? ''));
  }
  assert.deepEqual(await lab.labels(), { app: 'web', country: 'no' });
});

test('an edit of a VM that somebody has changed meanwhile is kept and not applied', async () => {
  await using lab = await startLab();
  const meanwhile = MANIFEST.replace('app: web', 'app: theirs');
  const { code, stderr } = await lab.edit(async (text) => {
    await lab.served.novactl('vm apply -f -', meanwhile);
    return text.replace('app: web', 'app: ours');
  });
  assert.equal(code, 4);
  assert.match(stderr, /\(GENERATION_MISMATCH\)/);
  assert.match(stderr, /To make it on the VM as it is now:\n {2}novactl vm edit default\/web/);
  assert.match(await takeKept(stderr), /app: ours/);
  assert.equal((await lab.labels()).app, 'theirs');
});

test('an edit of a VM that was made anew meanwhile is not applied to the new one', async () => {
  await using lab = await startLab();
  const { code, stderr } = await lab.edit(async (text) => {
    await lab.served.novactl('vm delete web');
    await lab.served.novactl('vm apply -f -', MANIFEST);
    return text.replace('app: web', 'app: ours');
  });
  assert.equal(code, 4);
  await takeKept(stderr);
  assert.equal((await lab.labels()).app, 'web');
});

test('an editor that fails changes nothing', async () => {
  await using lab = await startLab();
  const io = new FakeCliIo();
  io.editor = async () => 127;
  io.env['EDITOR'] = 'novi';
  const { code, stdout, stderr } = await lab.served.novactl('vm edit web', '', { io });
  assert.deepEqual([code, stdout], [4, '']);
  assert.match(stderr, /Cannot edit it: the editor, novi, ended with 127; name one in \$EDITOR/);
  assert.equal((await lab.served.novactl('vm edit none')).code, 3);
  assert.deepEqual(await leftOvers(), []);
});

test('$VISUAL is taken before $EDITOR, with its arguments, and has Ctrl-C to itself', async () => {
  await using lab = await startLab();
  const env = {
    ...process.env,
    // The shell that runs it is sent the signal with novactl, as by a terminal.
    VISUAL: `trap : INT; kill -INT $PPID $$; sed -i 's/app: web/app: shop/'`,
    EDITOR: 'false',
  };
  const words = ['--address', `unix:${lab.served.socket}`, 'vm', 'edit', 'web'];
  await using novactl = new OwnedProcess(spawn(process.execPath, [MAIN, ...words], { env }));
  assert.deepEqual(await novactl.remainingLines(), [
    'VM default/web changed',
    '  metadata.labels.app: web -> shop (now)',
  ]);
  assert.deepEqual(await novactl.exited, [0, null]);
});
