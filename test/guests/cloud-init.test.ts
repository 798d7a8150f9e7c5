import assert from 'node:assert/strict';
import { copyFile } from 'node:fs/promises';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { ensureDistributionGuest } from '../../lab/guest/distribution/distribution-guest.ts';
import { Lab } from '../../lab/lab.ts';
import { novactl } from '../e2e/novactl.ts';

/* A user's VM of a real Debian, and what its own cloud-init makes of what it is told. */

const NAME = 'web';
const BOOT_TIMEOUT_MS = 480_000;
const KEY =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlZ3fYw3aBvm5bk0U2aVw6f7t8e9d0c1b2a3948576 me@here';
const NETWORK = 'version: 2\nethernets:\n  none:\n    match: {name: "eth-none"}\n    dhcp4: true\n';

/** At each boot it says who it is, after all else; at its first ones it also counts. */
function userDataOf(greeting: string): string {
  const say = [
    `${greeting} id=$(cat /var/lib/cloud/data/instance-id) host=$(hostname)`,
    'firsts=$(wc -l </var/lib/firsts) key=$(grep -c me@here /home/debian/.ssh/authorized_keys)',
    // There is no such network; what cloud-init makes of it stands in its log.
    'network=$(grep -l eth-none /var/log/cloud-init.log | wc -l)',
  ].join(' ');
  return `#cloud-config
# Which the guest leaves out to boot faster.
cloud_config_modules: [ssh, set-passwords, runcmd]
ssh_genkeytypes: []
runcmd:
  - echo first >>/var/lib/firsts
  - |
    cat >/var/lib/cloud/scripts/per-boot/say <<'END'
    #!/bin/sh
    sleep 1
    echo "says: ${say}." >/dev/ttyS0
    END
    chmod +x /var/lib/cloud/scripts/per-boot/say
  - /var/lib/cloud/scripts/per-boot/say
`;
}

test('a Debian becomes what its manifest says at its first boot, stays so wherever it goes, and does so again when asked', async ({
  signal,
}) => {
  const guest = await ensureDistributionGuest(signal);
  await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  const folder = lab.plan.sharedImages;
  await run(['cp', '--sparse=always', guest.imagePath, `${folder}/base.raw`], {}, signal);
  for (const from of [guest.kernelPath, guest.initrdPath]) {
    await copyFile(from, path.join(folder, path.basename(from)));
  }
  const disk = `${folder}/${NAME}.qcow2`;
  const backing = ['-b', `${folder}/base.raw`, '-F', 'raw'];
  await run(['qemu-img', 'create', '-q', '-f', 'qcow2', ...backing, disk], {}, signal);

  const manifestOf = (greeting: string, cloudInit: object = {}) => ({
    apiVersion: 'novacron.io/v1alpha1',
    kind: 'VirtualMachine',
    metadata: { name: NAME },
    spec: {
      runStrategy: 'Manual',
      template: {
        spec: {
          resources: { cpu: 1, memory: '640Mi' },
          kernel: {
            path: `${folder}/vmlinuz`,
            initrd: `${folder}/initrd`,
            commandLine: guest.commandLine,
          },
          volumes: [
            { name: 'root', format: 'qcow2', shared: true, source: { file: { path: disk } } },
          ],
          userData: userDataOf(greeting),
          cloudInit: { sshAuthorizedKeys: [KEY], networkConfig: NETWORK, ...cloudInit },
        },
      },
    },
  });
  const ctl = async (...args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await novactl(lab, args, signal);
    assert.equal(code, 0, `novactl ${args.join(' ')}: ${stderr}`);
    return stdout + stderr;
  };
  const apply = async (manifest: object, ...options: readonly string[]): Promise<string> => {
    const args = ['vm', 'apply', '-f', '-', ...options];
    const { code, stdout, stderr } = await novactl(lab, args, signal, JSON.stringify(manifest));
    assert.equal(code, 0, stderr);
    return stdout + stderr;
  };
  let heard = 0;
  /** What the guest says of itself at its next boot on the node, with this greeting. */
  const nextSaid = (node: 'a' | 'b', greeting: string): Promise<string> =>
    waitUntil(
      'the guest says who it is',
      BOOT_TIMEOUT_MS,
      async () => {
        const { stdout } = await novactl(lab, ['--node', node, 'vm', 'log', NAME], signal);
        const all = [...stdout.matchAll(/^says: (.*)\.\r?$/gm)].map(([, words]) => words ?? '');
        const found = all.slice(heard).find((words) => words.startsWith(greeting));
        if (found !== undefined) heard = all.length;
        return found;
      },
      signal,
    );

  await apply(manifestOf('hello'));
  await ctl('vm', 'start', NAME);
  const first = await nextSaid('a', 'hello');
  const uid = /id=(\S+)/.exec(first)?.[1] ?? '';
  const { items } = JSON.parse(await ctl('vm', 'list', '-o', 'json')) as {
    readonly items: readonly { readonly metadata: { readonly uid: string } }[];
  };
  assert.equal(uid, items[0]?.metadata.uid);
  assert.equal(first, `hello id=${uid} host=${NAME} firsts=1 key=1 network=1`);

  // What is changed is for a first boot alone, and said so.
  const changed = await apply(manifestOf('changed'), '--dry-run');
  assert.match(changed, /first boot only.*cloudInit\.instanceId/s);
  await apply(manifestOf('changed'));
  await ctl('migrate', NAME, '--to', 'b');
  const node = ['--node', 'b'];
  await ctl(...node, 'vm', 'restart', NAME, '--timeout', '8m');
  heard = 0;
  assert.equal(
    await nextSaid('b', 'hello'),
    `hello id=${uid} host=${NAME} firsts=1 key=1 network=1`,
  );

  // Asked for by name, it is done once more.
  await apply(manifestOf('again', { instanceId: 'second', hostname: 'other' }), ...node);
  await ctl(...node, 'vm', 'restart', NAME, '--timeout', '8m');
  assert.equal(await nextSaid('b', 'again'), 'again id=second host=other firsts=2 key=1 network=1');
});
