import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { findConsoleLog } from '../../lab/guest/demo-vm.ts';
import { PATIENCE_MS } from '../e2e/moving-vm.ts';
import { TwoNodes } from '../e2e/two-nodes.ts';
import { encryption, KEY_NAME, Vault } from './vault.ts';

test('what becomes of encrypted disks that are there', async (context) => {
  await using nodes = await TwoNodes.start(context.signal);
  const { a } = nodes;
  const vault = await Vault.open(nodes);
  const { folder, given } = vault;
  const volumes = [
    { name: 'root', size: '64Mi', encryption },
    { name: 'data', size: '20Mi', format: 'raw', encryption },
  ];
  await vault.ok(`vm apply -f - ${given}`, context.signal, vault.manifest(volumes));

  await context.test(
    'they are made larger, and another one comes, while it runs and while it is off',
    async ({ signal }) => {
      const uid = await vault.checked(a, signal);
      const log = a.outside(await findConsoleLog(a, uid, signal));
      const [root, data] = volumes;
      const more = { name: 'more', size: '8Mi', encryption, shared: true };
      const grown = (rootSize: string, dataSize: string) =>
        vault.manifest([{ ...root, size: rootSize }, { ...data, size: dataSize }, more]);
      await vault.ok(`vm apply -f - ${given}`, signal, grown('96Mi', '24Mi'));
      const says = async (words: RegExp) => {
        const has = async () => words.test(await readFile(log, 'utf8'));
        await waitUntil(`the guest to say ${words.source}`, PATIENCE_MS, has, signal);
      };
      await says(/\[vda\] new size: 196608 512-byte/);
      await says(/\[vdb\] new size: 49152 512-byte/);
      await says(/\[vdc\] 16384 512-byte/);
      await vault.ok('vm destroy vault', signal);
      await vault.ok('vm apply -f -', signal, grown('128Mi', '28Mi'));
      await vault.ok('vm start vault', signal);
      await says(/\[vda\] 262144 512-byte/);
      await says(/\[vdb\] 57344 512-byte/);
      await vault.checked(a, signal);
    },
  );

  await context.test(
    'made again with its uid it needs the key that its disks have',
    async ({ signal }) => {
      const uid = await vault.checked(a, signal);
      const { stdout } = await vault.ok('vm get vault -o json', signal);
      const { spec } = JSON.parse(stdout) as { readonly spec: object };
      const again = JSON.stringify({
        ...(JSON.parse(vault.manifest([], { uid })) as object),
        spec,
      });
      await vault.ok('vm delete vault --force', signal);
      const wrong = path.join(nodes.lab.plan.storage, 'wrong-key');
      await writeFile(wrong, 'something else', { mode: 0o600 });
      const refused = await vault.ctl(`vm apply -f - --secret ${KEY_NAME}=${wrong}`, signal, again);
      assert.notEqual(refused.code, 0);
      assert.match(refused.stderr, /encrypted with another key; let the secret disk-key be/);
      await vault.ok(`vm apply -f - ${given}`, signal, again);
      await vault.checked(a, signal);
    },
  );

  await context.test(
    'another VM stands encrypted on an image, and one has a copy of it',
    async ({ signal }) => {
      const image = path.join(folder, 'content.raw');
      await run(['sh', '-c', `yes plaintext | head -c 4M >${image}`], {}, signal);
      const source = { image: { source: `file://${image}`, format: 'raw' } };
      const disks = [
        { name: 'upon', size: '8Mi', source, encryption },
        { name: 'copy', size: '8Mi', source, format: 'raw', encryption },
      ];
      const machine = { resources: { cpu: 1, memory: '64Mi' }, volumes: disks };
      const wantedToo = JSON.stringify({
        apiVersion: 'novacron.io/v1alpha1',
        kind: 'VirtualMachine',
        metadata: { name: 'child' },
        spec: { running: true, template: { spec: machine } },
      });
      await vault.ok(`vm apply -f - ${given}`, signal, wantedToo);
      for (const [disk, size] of [
        ['vda', 8],
        ['vdb', 8],
      ] as const) {
        const info = await a.libvirt.virsh(['domblkinfo', 'default_child', disk], signal);
        assert.equal(Number(/Capacity:\s+(\d+)/.exec(info)?.[1]), size * 2 ** 20);
      }
      for (const name of (await readdir(folder)).filter((one) => /-(?:upon|copy)\./.test(one))) {
        assert.ok(!(await readFile(path.join(folder, name))).includes('plaintext'));
      }
      await vault.ok('vm delete child --force --delete-disks', signal);
    },
  );
});
