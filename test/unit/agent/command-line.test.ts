import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';

const MAIN = resolve('src/agent/main.ts');

const NAMED = 'nodeName: a\ntls: {certificate: /c, key: /k, ca: /a}';

function check(configuration: string, before = NAMED) {
  const folder = mkdtempSync(join(tmpdir(), 'novacron-check-'));
  try {
    const file = join(folder, 'agent.yaml');
    writeFileSync(file, `${before}\n${configuration}\n`);
    const words = [MAIN, '--config', file, '--check'];
    const { status, stdout, stderr } = spawnSync(process.execPath, words, { encoding: 'utf8' });
    const short = (text: string) => text.replaceAll(file, 'FILE');
    return { status, stdout: short(stdout), stderr: short(stderr) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('--check says in one line that all is well', () => {
  assert.deepEqual(check('advertise: 10.0.0.1:7443'), {
    status: 0,
    stdout: 'FILE is valid: node a listens at 0.0.0.0:7443, others reach it at 10.0.0.1:7443\n',
    stderr: '',
  });
});

test('--check says that a node is alone', () => {
  const { status, stdout } = check('socket: /run/a.sock', 'nodeName: a');
  assert.deepEqual(
    [status, stdout],
    [0, 'FILE is valid: node a is alone, its API at /run/a.sock only\n'],
  );
});

test('--check warns of what may be a mistake, and takes it', () => {
  const { status, stdout, stderr } = check('advertise: 10.0.0.1:7443\nlisten: 10.0.0.2:7443');
  assert.equal(status, 0);
  assert.match(stdout, /^FILE is valid: .*\n$/);
  assert.match(stderr, /^Warning: FILE: advertise: .*\n$/);
});

test('--check fails for what cannot work, and names the key', () => {
  const { status, stdout, stderr } = check('advertise: 0.0.0.0:7443');
  assert.deepEqual([status, stdout], [2, '']);
  assert.match(stderr, /^FILE: advertise: .*\n$/);
});
