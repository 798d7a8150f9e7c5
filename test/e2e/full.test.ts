import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { inProject } from '../../lab/core/project.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { ensureAgentGuest, layOutAgentGuest } from '../../lab/guest/agent-guest.ts';
import { novactl } from './novactl.ts';
import { NovactlTerminal } from './novactl-terminal.ts';
import { TwoNodes } from './two-nodes.ts';

const BOOT_TIMEOUT_MS = 120_000;
const ESCAPE = '\x1d';

test('the VM of full.yaml: firmware, TPM, disks, cloud-init, a network and hooks, on one node and the other', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const guest = await ensureAgentGuest(context.signal);
  const { a, b, lab } = nodes;
  for (const node of [a, b]) await layOutAgentGuest(node, guest);
  const ok = async (args: string, signal: AbortSignal) => {
    const result = await novactl(lab, args.split(' '), signal);
    assert.equal(result.code, 0, result.stdout + result.stderr);
    return result.stdout;
  };

  /** By the page that a person reads. */
  const shows = (what: RegExp, signal: AbortSignal) =>
    waitUntil(
      `vm describe shows ${what}`,
      BOOT_TIMEOUT_MS,
      async () => what.test(await ok('vm describe full', signal)),
      signal,
    );

  await context.test('it comes up, and its page shows all there is of it', async ({ signal }) => {
    await ok(`vm apply -f ${inProject('test/e2e/vms/full.yaml')}`, signal);
    await shows(/Addresses: +10\.\S+ on eth0, by agent/, signal);
    const page = await ok('vm describe full', signal);
    assert.match(page, /Firmware: +UEFI, TPM 2\.0\n/);
    assert.match(page, /root +disk +vda +virtio +qcow2 +2Gi +\S+ +yes +\/.*-root\.qcow2\n/);
    assert.match(page, /data +disk +vdb +virtio +raw +64Mi +\S+ +yes +\/.*-data\.raw\n/);
    assert.match(page, /GuestAgentConnected +True/);
    assert.match(page, /LiveMigratable +True/);
    // Its kernel has looked for partitions, of which the next figures tell.
    await shows(/Usage:\n {2}CPU: .+\n {2}Memory: .+\n {2}Disks: .+\n {2}Network: /, signal);
    assert.match(
      await readFile(a.outside('run/hooks.log'), 'utf8'),
      /preStart default\/full starts/,
    );
  });

  await context.test(
    'its guest answers over its console, and has the disks and the TPM',
    async ({ signal }) => {
      using terminal = new NovactlTerminal(lab, ['vm', 'console', 'full']);
      await terminal.shows(/Connected to the console of VM default\/full/);
      terminal.type('echo answered $((6*7))\r');
      await terminal.shows(/\nanswered 42/);
      terminal.type(
        'cat /sys/block/vda/size /sys/block/vdb/size /sys/class/tpm/tpm0/tpm_version_major\r',
      );
      await terminal.shows(/\n4194304\s+131072\s+2\s/);
      terminal.type(ESCAPE);
      await terminal.shows(/is closed/);
      signal.throwIfAborted();
    },
  );

  await context.test(
    'it moves with all of that, and is gone with its disks',
    async ({ signal }) => {
      await ok('migrate full --to b', signal);
      assert.match(await ok('--node b vm describe full', signal), /Phase: +Running/);
      await ok('--node b vm shutdown full', signal);
      assert.match(
        await readFile(b.outside('run/hooks.log'), 'utf8'),
        /preStop default\/full stops/,
      );
      await ok('--node b vm delete full --delete-disks', signal);
      const left = (await readdir(lab.plan.sharedImages)).filter((name) =>
        /-(?:root|data)\./.test(name),
      );
      assert.deepEqual(left, []);
    },
  );
});
