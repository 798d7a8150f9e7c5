import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { parseDurationMs } from '../../../src/cli/output/durations.ts';
import { buildWholeProgram } from '../../../src/cli/program.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';

const FILE = 'deploy/systemd/novacron-guests.service';
/** So long the agent tries to cut the power of VMs, and novactl waits for its last word. */
const AFTER_DEADLINE_MS = 50_000;

const run = promisify(execFile);
const text = await readFile(FILE, 'utf8');

/** What a key of the unit is set to, all its lines together. */
function valuesOf(key: string): readonly string[] {
  return [...text.matchAll(new RegExp(`^${key}=(.*)$`, 'gm'))].flatMap(([, value = '']) =>
    value.split(' '),
  );
}

test('systemd finds nothing wrong with the unit', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'guests-unit-'));
  await using _folder = { [Symbol.asyncDispose]: () => rm(folder, { recursive: true }) };
  const file = path.join(folder, path.basename(FILE));
  // Only that the program of a node is there is not to be found out here.
  await writeFile(file, text.replace(/^ExecStop=novactl/m, 'ExecStop=/bin/true'));
  const { stderr } = await run('systemd-analyze', ['verify', file]);
  assert.equal(stderr, '');
});

test('it is stopped before whatever VMs and the agent need, and before the guests themselves', () => {
  const after = valuesOf('After');
  for (const unit of [
    'novacron-agent.service',
    'libvirtd.service',
    'virtqemud.service',
    'virtlogd.service',
    'machine.slice',
    'virt-guest-shutdown.target',
    'libvirt-guests.service',
    'kubelet.service',
  ]) {
    assert.ok(after.includes(unit), unit);
  }
  assert.deepEqual(valuesOf('Before'), []);
});

test('nothing but the end of the host stops it, as its stop powers off every VM', () => {
  // To stop or restart what it requires, or to start what it conflicts with, would stop it.
  assert.deepEqual(valuesOf('Requires'), ['virt-guest-shutdown.target']);
  for (const key of ['Conflicts', 'BindsTo', 'PartOf', 'Requisite']) {
    assert.deepEqual(valuesOf(key), [], key);
  }
  assert.deepEqual(valuesOf('RefuseManualStop'), ['yes']);
});

test('its command is one of novactl, which ends before systemd loses its patience', async () => {
  const [program, ...words] = valuesOf('ExecStop');
  assert.equal(program, 'novactl');
  const whole = await buildWholeProgram(new FakeCliIo());
  const node = whole.commands.find((command) => command.name() === words[0]);
  const command = node?.commands.find((each) => each.name() === words[1]);
  assert.ok(
    command?.options.some(({ long }) => long === words[2]),
    words.join(' '),
  );
  const guestsMs = parseDurationMs(words[3] ?? '') ?? 0;
  const patienceMs = parseDurationMs(valuesOf('TimeoutStopSec')[0] ?? '') ?? 0;
  assert.ok(guestsMs > 0);
  assert.ok(patienceMs > guestsMs + AFTER_DEADLINE_MS, `${patienceMs} ms`);
});
