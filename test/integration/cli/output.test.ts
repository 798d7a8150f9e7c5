import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { Migration, MigrationPhase } from '../../../src/client/api.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { OTHER, startLab } from './novactl-lab.ts';

const NOVACTL = path.resolve('src/cli/main.ts');
const DEV = path.resolve('lab/dev.ts');
const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';
const NO_SPACE = 'Error: Cannot write the output: no space left on device\n';

/** Runs one of our programs in bash, which does with its outputs as the words at the end say. */
function bash(program: string, words: string, redirection: string, before = ':') {
  const script = `${before}; "$0" "$1" ${words} ${redirection}; exit "\${PIPESTATUS[0]}"`;
  const run = Promise.withResolvers<{ code: unknown; stdout: string; stderr: string }>();
  const args = ['-c', script, process.execPath, program];
  execFile('bash', args, { timeout: 60_000 }, (error, stdout, stderr) => {
    run.resolve({ code: error === null ? 0 : (error.code ?? error.signal), stdout, stderr });
  });
  return run.promise;
}

/** An agent with a VM, a migration that has ended and an operation; novactl as a process, too. */
async function startBusyLab() {
  const lab = await startLab();
  const { agent, folder } = lab;
  agent.put('web');
  const status = {
    phase: MigrationPhase.MIGRATION_PHASE_COMPLETED,
    sourceNode: 'node-a',
    destinationNode: 'node-b',
  };
  agent.migrationSteps = [Migration.create({ id: ID, status })];
  await writeFile(path.join(folder, 'db.yaml'), OTHER);
  await lab.novactl(`migrate web --to node-b --id ${ID}`);
  await lab.novactl(`vm start web --operation-id ${ID}`);
  const process = (words: string, redirection: string, before?: string) =>
    bash(NOVACTL, `--address unix:${folder}/agent.sock ${words}`, redirection, before);
  return { ...lab, process };
}

/** Every command, those that change something last. */
const COMMANDS = [
  '--help',
  'version',
  'completion bash',
  'vm list',
  'vm list -o json',
  'vm get web -o yaml',
  'vm log web',
  'watch',
  'watch -o json',
  'migrate web --to node-b --plan',
  'migration list',
  `migration get ${ID}`,
  `migration watch ${ID}`,
  'migration watch',
  'operation list',
  `operation get ${ID}`,
  `operation watch ${ID}`,
  'operation watch',
  'node get',
  'doctor --agent-config /none',
  'vm apply -f FOLDER/db.yaml --dry-run',
  'vm apply -f FOLDER/db.yaml',
  'node cordon',
  'migrate web --to node-b',
  'vm shutdown web',
  'vm delete db --force',
];

test('a full disk is told in one line by every command, which fails and does what it should', async () => {
  await using lab = await startBusyLab();
  for (const words of COMMANDS) {
    const io = new FakeCliIo({ fault: { message: 'no space left on device' } });
    const { code, stderr } = await lab.novactl(words.replace('FOLDER', lab.folder), { io });
    assert.equal(code, 1, words);
    assert.equal(stderr.split(NO_SPACE).length, 2, `${words}: ${stderr}`);
  }
  assert.deepEqual(
    lab.agent.vms.entries().map(([key]) => key),
    ['default/web'],
  );
  assert.equal(lab.agent.migrations.size, 2);
});

test('a real full disk leaves no stack trace', async () => {
  await using lab = await startBusyLab();
  for (const words of ['--help', 'vm list', 'watch', 'vm log web']) {
    const { code, stderr } = await lab.process(words, '> /dev/full');
    assert.deepEqual([code, stderr], [1, NO_SPACE]);
  }
});

test('what was begun can be found where standard output is full', async () => {
  await using lab = await startBusyLab();
  for (const words of [
    'migrate web --to node-b --no-wait',
    'migrate web --to node-b',
    'vm shutdown web --no-wait',
    `vm apply -f ${lab.folder}/db.yaml --no-wait`,
    'vm delete db --force --no-wait',
  ]) {
    const io = new FakeCliIo({ fault: { message: 'no space left on device' } });
    const { code, stderr } = await lab.novactl(words, { io });
    assert.equal(code, 1, words);
    assert.match(stderr, /[0-9a-f]{8}-[0-9a-f-]{27}[^]*no space left on device\n$/, words);
  }
});

test('a migration is begun and told of where standard error is full, and begun where both are', async () => {
  await using lab = await startBusyLab();
  const { code, stdout } = await lab.process('migrate web --to node-b', '2> /dev/full');
  assert.equal(code, 1);
  assert.match(stdout, /^Migration [0-9a-f-]{36} of VM web to node node-b\n.* runs on node/);
  const silent = await lab.process('migrate web --to node-b', '> /dev/full 2>&1');
  assert.deepEqual(silent, { code: 1, stdout: '', stderr: '' });
  assert.equal(lab.agent.migrations.size, 3);
});

test('a pipe that nobody reads ends what has no end, and is no failure', async () => {
  await using lab = await startBusyLab();
  for (const words of ['vm list | true', 'vm log web | head -0', 'watch | true']) {
    assert.deepEqual(await lab.process(words, ''), { code: 0, stdout: '', stderr: '' }, words);
  }
});

test('a change goes on where nobody reads of it, and its exit code is its own', async () => {
  await using lab = await startBusyLab();
  const failed = Migration.create({ status: { phase: MigrationPhase.MIGRATION_PHASE_FAILED } });
  lab.agent.migrationSteps = [failed];
  const { code } = await lab.process('migrate web --to node-b', '2>&1 | true');
  assert.equal(code, 1);
});

test('a standard output that is closed is as good as /dev/null', async () => {
  await using lab = await startBusyLab();
  assert.deepEqual(await lab.process('vm list', '>&-'), { code: 0, stdout: '', stderr: '' });
});

test('a file that has room for a part only is not taken for written', async () => {
  await using lab = await startBusyLab();
  for (let index = 0; index < 100; index++) lab.agent.put(`vm-${index}`);
  const file = path.join(lab.folder, 'list');
  const { code, stderr } = await lab.process('vm list', `> ${file}`, 'ulimit -f 1');
  assert.deepEqual([code, stderr], [1, 'Error: Cannot write the output: file too large\n']);
  assert.equal((await stat(file)).size, 1024);
  assert.match(await readFile(file, 'utf8'), /^NAMESPACE/);
});

test('./dev tells of a full disk too, and nothing to a closed pipe', async () => {
  for (const verb of ['help', 'nonsense']) {
    const { code, stderr } = await bash(DEV, verb, '> /dev/full');
    assert.notEqual(code, 0, verb);
    assert.match(stderr, /^Cannot write the output: no space left on device$/m, verb);
    assert.doesNotMatch(stderr, /^ +at /m);
  }
  assert.deepEqual(await bash(DEV, 'help', '| true'), {
    code: 0,
    stdout: '',
    stderr: '',
  });
});

test('./dev refuses what it does not know instead of doing something else', async () => {
  for (const [words, expected] of [
    ['logs a agnet', /^There is no agnet: .\/dev logs /],
    ['status b', /^\.\/dev status takes nothing after it, but b is given$/m],
  ] as const) {
    const { code, stdout, stderr } = await bash(DEV, words, '');
    assert.deepEqual([code, stdout], [1, ''], words);
    assert.match(stderr, expected);
  }
});
