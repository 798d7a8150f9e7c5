import assert from 'node:assert/strict';
import { mkdtempDisposable, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../../../../lab/core/wait-until.ts';
import { bootPayload } from '../../../../src/drivers/boot-probe/boot-guest.ts';
import { type BootFinding } from '../../../../src/drivers/boot-probe.ts';

/** A QEMU that does what the script says. */
async function bootWith(
  script: string,
  signal: AbortSignal,
  timeoutMs = 20_000,
): Promise<BootFinding> {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'novacron-qemu-'));
  const qemu = join(folder.path, 'qemu');
  await writeFile(qemu, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return await bootPayload({ qemu, accelerator: 'kvm', timeoutMs }, signal);
}

const say = (...stages: readonly string[]): string =>
  stages.map((stage) => `echo 'boot-probe: ${stage}'`).join('\n');

test('a guest that says that it has booted is not waited for any longer', async ({ signal }) => {
  const script = `${say('protected mode', 'long mode', 'booted')}\nexec sleep 1000`;
  assert.deepEqual(await bootWith(script, signal), { boots: true, why: '' });
});

test('why none boots is told with how far it came', async ({ signal }) => {
  for (const [script, why] of [
    [`${say('protected mode')}\nexit 3`, /came as far as "protected mode": QEMU has ended with 3$/],
    ['echo "error: failed to set MSR 0x10a" >&2; exit 1', /said nothing: error: failed to set MSR/],
    [say('long mode', 'fault 0d'), /came as far as "long mode": then took fault 0x0d$/],
    [
      `${say('registers')}\necho 'KVM internal error. Suberror: 1' >&2\nexec sleep 1000`,
      /came as far as "registers": KVM internal error\. Suberror: 1$/,
    ],
    ['head -c 1000000 /dev/zero; exit 2', /said nothing: QEMU has ended with 2$/],
  ] as const) {
    const { boots, why: told } = await bootWith(script, signal);
    assert.equal(boots, false, script);
    assert.match(told, why);
  }
});

test('one that hangs is ended with all that it has started, and leaves no file', async ({
  signal,
}) => {
  await using folder = await mkdtempDisposable(join(tmpdir(), 'novacron-hang-'));
  const pids = join(folder.path, 'pids');
  const script = `sleep 1000 & echo "$! $$ \${15}" > ${pids}\n${say('long mode')}\ntrap '' TERM; wait`;
  const { boots, why } = await bootWith(
    `for last; do :; done\n${script.replace('${15}', '$last')}`,
    signal,
    300,
  );
  assert.equal(boots, false);
  assert.match(why, /came as far as "long mode" within 0\.3 s$/);
  const [child, parent, payload = ''] = (await readFile(pids, 'utf8')).trim().split(' ');
  for (const pid of [child, parent].map(Number)) {
    await waitUntil(`Process ${pid} to end`, 10_000, async () => !(await isThere(pid)), signal);
  }
  await assert.rejects(readFile(payload), { code: 'ENOENT' });
});

test('aborting ends it at once', async ({ signal }) => {
  const stop = new AbortController();
  const booting = bootWith('exec sleep 1000', AbortSignal.any([signal, stop.signal]));
  stop.abort(new Error('stop'));
  await assert.rejects(booting, /stop/);
});

async function isThere(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ') Z');
  return !/\) Z/.test(stat) && (await readdir(`/proc/${pid}/fd`).catch(() => [])).length > 0;
}
