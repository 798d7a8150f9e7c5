import assert from 'node:assert/strict';
import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { findConsoleLog } from '../../lab/guest/demo-vm.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { agentPid, TwoNodes } from '../e2e/two-nodes.ts';
import { signalProcess } from '../fixtures/process-signals.ts';
import { encryption, Vault } from './vault.ts';

/** Files of a folder with a key in them, and who may read those. */
async function filesWith(key: string, folder: string): Promise<readonly string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const found: string[] = [];
  for (const entry of entries.filter((one) => one.isFile())) {
    const file = path.join(entry.parentPath, entry.name);
    const content = await readFile(file).catch(() => Buffer.alloc(0));
    if (!content.includes(key)) continue;
    const { mode } = await stat(file);
    found.push(`${path.relative(folder, file)} ${(mode & 0o777).toString(8)}`);
  }
  return found;
}

test('encrypted disks, from the first apply to the last word on them', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a, b } = nodes;
  const vault = await Vault.open(nodes);
  const { folder, key, keyFile, given } = vault;
  const volumes = [
    { name: 'root', size: '64Mi', encryption, shared: true },
    { name: 'data', size: '20Mi', format: 'raw', encryption, shared: true },
  ];
  const wanted = vault.manifest(volumes);
  const isRunningOn = async (node: LabNode, signal: AbortSignal) =>
    /vault +Running/.test((await vault.ok(`--node ${node.name} vm list`, signal)).stdout);

  await context.test('without the key nothing is made', async ({ signal }) => {
    for (const dryRun of ['--dry-run ', '']) {
      const refused = await vault.ctl(`vm apply ${dryRun}-f -`, signal, wanted);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /volumes\[0\]\.encryption\.secret/);
      assert.match(refused.stderr, /disk-key is not there; put the secret into it/);
    }
    assert.deepEqual(await vault.made(), []);
  });

  await context.test(
    'its guest sees the bytes that were asked for, and writes and reads',
    async ({ signal }) => {
      await vault.ok(`vm apply -f - ${given}`, signal, wanted);
      const uid = await vault.checked(a, signal);
      const log = await readFile(a.outside(await findConsoleLog(a, uid, signal)), 'utf8');
      assert.match(log, /\[vda\] 131072 512-byte logical blocks/);
      assert.match(log, /\[vdb\] 40960 512-byte logical blocks/);
      const report = await vault.ok('vm describe vault', signal);
      assert.match(report.stdout, /root +disk +vda +virtio +qcow2 \(LUKS\) +64Mi/);
      for (const name of await vault.made()) {
        const { blocks } = await stat(path.join(folder, name));
        assert.ok(blocks * 512 < 16 * 2 ** 20, `${name} takes ${blocks * 512} bytes`);
      }
      assert.match((await vault.ok('vm apply -f -', signal, wanted)).stdout, /unchanged/);
    },
  );

  await context.test('the key is where it must be, and nowhere else', async ({ signal }) => {
    const xml = await a.libvirt.virsh(['dumpxml', '--security-info', 'default_vault'], signal);
    assert.match(xml, /<encryption format='luks'/);
    const shown = [
      xml,
      await a.libvirt.virsh(['secret-list'], signal),
      (await vault.ok('vm get vault -o yaml', signal)).stdout,
      (await vault.ok('vm describe vault', signal)).stdout,
      a.readLog('agent'),
      JSON.stringify(a.processes()),
    ];
    for (const text of shown) assert.ok(!text.includes(key));
    const [, uuid = ''] = /<secret type='passphrase' uuid='([^']+)'/.exec(xml) ?? [];
    const asked = ['virsh', '-c', 'qemu:///system', 'secret-get-value', uuid];
    assert.notEqual((await a.tryRun(asked, signal)).code, 0);
    const kept = await filesWith(key, a.plan.directory);
    assert.ok(kept.length > 0);
    for (const file of kept) assert.match(file, /private\S*\/disk-keys\S* 600$/);
    for (const name of await vault.made()) {
      assert.ok(!(await readFile(path.join(folder, name))).includes(key));
    }
  });

  await context.test('it moves while it runs, with its key, and back', async ({ signal }) => {
    await vault.ok('migrate vault --to b', signal);
    await vault.checked(b, signal);
    assert.deepEqual(await filesWith(key, a.plan.directory), []);
    assert.doesNotMatch(await a.libvirt.virsh(['secret-list'], signal), /novacron/);
    await vault.ok('--node b migrate vault --to a', signal);
    await vault.checked(a, signal);
  });

  await context.test(
    'a libvirtd that begins anew changes nothing for it, and its next start finds the key',
    async ({ signal }) => {
      await nodes.restartLibvirtd(a, signal);
      await vault.checked(a, signal);
      assert.doesNotMatch(await a.libvirt.virsh(['secret-list'], signal), /novacron/);
      await vault.ok('vm destroy vault', signal);
      await vault.ok('vm start vault', signal);
      await vault.checked(a, signal);
    },
  );

  await context.test(
    'after its node has gone down its run strategy starts it with its key',
    async ({ signal }) => {
      signalProcess(agentPid(a), 'SIGKILL');
      await nodes.killLibvirtd(a, signal);
      for (const { pid, command } of a.processes()) {
        if (command[0]?.includes('qemu-system') === true) signalProcess(pid, 'SIGKILL');
      }
      await a.libvirt.startLibvirtd(signal);
      await nodes.relaunch(a, signal);
      const runs = () => isRunningOn(a, signal);
      await waitUntil('the VM to run again', PATIENCE_MS, runs, signal);
      await vault.checked(a, signal);
    },
  );

  await context.test('another key for a disk that is made is refused', async ({ signal }) => {
    const other = vault.manifest([{ ...volumes[0], encryption: { secret: 'other' } }]);
    const refused = await vault.ctl(`vm apply -f - --secret other=${keyFile}`, signal, other);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /cannot give a disk another key yet; leave it at disk-key/);
  });

  await context.test('it goes with its disks and its key', async ({ signal }) => {
    await vault.ok('vm delete vault --force --delete-disks', signal);
    assert.deepEqual(await vault.made(), []);
    assert.deepEqual(await filesWith(key, a.plan.directory), []);
    assert.doesNotMatch(await a.libvirt.virsh(['secret-list'], signal), /novacron/);
  });
});
