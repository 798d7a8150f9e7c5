import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { chmod, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { COMPLETION_SCRIPTS, type Shell } from '../../../src/cli/completion/scripts.ts';
import { Migration, MigrationPhase } from '../../../src/client/api.ts';
import { OwnedProcess } from '../../fixtures/owned-process.ts';
import { ServedAgent } from './served-agent.ts';

const MAIN = path.resolve('src/cli/main.ts');
const ID = '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11';
const exec = promisify(execFile);

/** An agent and a folder with a `novactl` that may stand in a PATH. */
async function startLab() {
  const served = await ServedAgent.start();
  const { agent, address, folder } = served;
  const novactl = path.join(folder, 'novactl');
  await writeFile(novactl, `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`);
  await chmod(novactl, 0o755);
  const env = { ...process.env, PATH: `${folder}:${process.env['PATH']}` };
  const dispose = () => served[Symbol.asyncDispose]();
  return { agent, address, env, folder, [Symbol.asyncDispose]: dispose };
}

type Lab = Awaited<ReturnType<typeof startLab>>;

/** What bash would offer for the words. */
async function bashCompletions(lab: Lab, words: readonly string[]): Promise<string[]> {
  const script = `
    source <(novactl completion bash)
    complete -p novactl >&2
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    _novactl
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = await exec('bash', ['-c', script, 'bash', ...words], { env: lab.env });
  assert.equal(stderr, 'complete -F _novactl novactl\n');
  return stdout.split('\n').filter((line) => line !== '');
}

test('bash completes commands, options, values, names of VMs and ids of operations', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  lab.agent.put('db', { metadata: { namespace: 'shop' } });
  assert.deepEqual(await bashCompletions(lab, ['novactl', 'mig']), ['migrate', 'migration']);
  assert.deepEqual(await bashCompletions(lab, ['novactl', 'vm', 'st']), ['start']);
  assert.deepEqual(await bashCompletions(lab, ['novactl', 'vm', 'list', '-o', 'y']), ['yaml']);
  // As bash cuts it: at the colon.
  const address = ['--address', 'unix', ':', lab.address.slice('unix:'.length)];
  const names = await bashCompletions(lab, ['novactl', ...address, 'vm', 'get', '']);
  assert.deepEqual(names, ['web', 'shop/db']);
  await exec(
    'novactl',
    ['--address', lab.address, ...`vm start web --operation-id ${ID}`.split(' ')],
    {
      env: lab.env,
    },
  );
  const ids = await bashCompletions(lab, ['novactl', ...address, 'operation', 'get', '']);
  assert.deepEqual(ids, [ID]);
});

test('bash completes file names after -f', async () => {
  await using lab = await startLab();
  const words = ['novactl', 'vm', 'create', '-f', 'package.j'];
  assert.deepEqual(await bashCompletions(lab, words), ['package.json']);
});

const CHECKERS: Readonly<Record<Shell, readonly string[]>> = {
  bash: ['bash', '-n'],
  zsh: ['zsh', '-n'],
  fish: ['fish', '--no-execute'],
};

for (const [shell, [program = '', flag = '']] of Object.entries(CHECKERS)) {
  const missing = spawnSync(program, ['--version']).error !== undefined;
  const skip = missing && `${program} is not installed`;
  test(`the completion script is good ${shell}`, { skip }, async () => {
    await using lab = await startLab();
    const file = path.join(lab.folder, 'completion');
    await writeFile(file, COMPLETION_SCRIPTS[shell as Shell]);
    await exec(program, [flag, file]);
  });
}

test('--help and completion load neither gRPC nor zod', async () => {
  const script = `
    import { createRequire } from 'node:module';
    process.argv.splice(1, Infinity, 'novactl', 'vm', 'create', '--help');
    process.once('exit', () => {
      const loaded = Object.keys(createRequire('${MAIN}').cache);
      process.exitCode = loaded.some((file) => /@grpc|zod/.test(file)) ? 99 : process.exitCode;
    });
    await import('${MAIN}');`;
  await exec(process.execPath, ['--input-type=module', '-e', script]);
});

test('an older Node is told in a sentence, without parsing the rest', async () => {
  const script = `
    Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } });
    await import('${MAIN}');`;
  const { status, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script]);
  assert.equal(status, 2);
  assert.match(String(stderr), /^novactl needs Node\.js 24\.12 or newer; [^\n]*\n$/);
});

/** Resolves once the child has written so to stderr. */
async function hasWritten(child: ChildProcess, wanted: string): Promise<void> {
  const found = Promise.withResolvers<void>();
  let text = '';
  child.stderr?.on('data', (chunk) => {
    text += String(chunk);
    if (text.includes(wanted)) found.resolve();
  });
  child.once('exit', () => found.reject(new Error(`It ended without saying ${wanted}: ${text}`)));
  await found.promise;
}

test('Ctrl-C in a real migrate ends it with 130 and leaves the migration alone', async () => {
  await using lab = await startLab();
  lab.agent.put('web');
  lab.agent.migrationSteps = [
    Migration.create({ status: { phase: MigrationPhase.MIGRATION_PHASE_COPYING } }),
  ];
  const words = ['--address', lab.address, 'migrate', 'web', '--to', 'node-b', '--id', ID];
  await using novactl = new OwnedProcess(spawn(process.execPath, [MAIN, ...words]));
  await hasWritten(novactl.child, 'Copying');
  novactl.child.kill('SIGINT');
  assert.deepEqual(await novactl.exited, [130, null]);
  const phase = lab.agent.migrations.get(ID)?.status?.phase;
  assert.equal(phase, MigrationPhase.MIGRATION_PHASE_COPYING);
});

test('a pipe that is closed early is no failure', async () => {
  await using lab = await startLab();
  for (let index = 0; index < 3_000; index++) lab.agent.put(`vm-${index}`);
  const script = `novactl --address ${lab.address} vm list | head -1; exit \${PIPESTATUS[0]}`;
  const { stdout } = await exec('bash', ['-c', script], { env: lab.env });
  assert.match(stdout, /^NAMESPACE/);
});

test('doctor ends although a file it reads hangs', async () => {
  await using lab = await startLab();
  const fifo = path.join(lab.folder, 'agent.yaml');
  await exec('mkfifo', [fifo]);
  const words = ['doctor', '--agent-config', fifo, '--check-timeout', '200ms', '-o', 'json'];
  const { status, stdout } = spawnSync(process.execPath, [MAIN, ...words], { timeout: 30_000 });
  assert.equal(status, 1);
  const [configuration] = JSON.parse(String(stdout)).checks;
  assert.match(configuration.detail, /agent\.yaml: it cannot be read: it does not answer in time/);
});
