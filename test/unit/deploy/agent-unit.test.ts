import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';

const FILE = 'deploy/systemd/novacron-agent.service';

const run = promisify(execFile);
const text = await readFile(FILE, 'utf8');

function valueOf(key: string): string | undefined {
  return new RegExp(`^${key}=(.*)$`, 'm').exec(text)?.[1];
}

test('systemd finds nothing wrong with the unit', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'agent-unit-'));
  await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const file = path.join(folder, path.basename(FILE));
  // Only what a node has installed is not to be found here.
  const here = text
    .replace(/^ExecStart=.*/m, 'ExecStart=/bin/true')
    .replace(/^Documentation=.*/m, '');
  await writeFile(file, here);
  const { stderr } = await run('systemd-analyze', ['verify', file]);
  assert.equal(stderr, '');
});

test('its end is that of no guest and of no migration', () => {
  assert.equal(valueOf('KillMode'), 'process');
  for (const key of ['Requires', 'BindsTo', 'PartOf', 'Requisite', 'Conflicts']) {
    assert.equal(valueOf(key), undefined, key);
  }
});

test('it counts as started when the agent says so, and is started again whatever becomes of it', () => {
  assert.equal(valueOf('Type'), 'notify');
  assert.equal(valueOf('Restart'), 'always');
  assert.equal(valueOf('StartLimitIntervalSec'), '0');
  // What the agent ends with for a configuration that is wrong, which does not mend itself.
  assert.equal(valueOf('RestartPreventExitStatus'), '2');
});
