import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { run } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { DebianVm } from './debian-vm.ts';

/* That a Debian takes the address which its manifest has for it, and is logged in to there. */

const BOOT_TIMEOUT_MS = 480_000;
const MAC = '52:54:00:0a:0b:0c';
/** The image's keys stay: making others takes an emulated CPU long. */
const USER_DATA = `#cloud-config
ssh_deletekeys: false
cloud_config_modules: [ssh, set-passwords, runcmd]
`;

test('a Debian has the address of its network configuration, and its user logs in there by SSH', async ({
  signal,
}) => {
  await using vm = await DebianVm.prepare(['a'], signal);
  await using folder = await mkdtempDisposable(path.join(tmpdir(), 'novacron-key-'));
  const key = path.join(folder.path, 'key');
  await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', key], {}, signal);
  const { address, prefixLength } = vm.bridge;
  // Outside of what guests are given by DHCP.
  const own = address.replace(/\d+$/, '60');
  const networkConfig = [
    'version: 2',
    'ethernets:',
    '  lan:',
    `    match: {macaddress: "${MAC}"}`,
    `    addresses: [${own}/${prefixLength}]`,
    `    routes: [{to: 0.0.0.0/0, via: ${address}}]`,
    '',
  ].join('\n');
  await vm.apply({
    networks: [{ name: 'lan', type: 'bridge', bridge: 'br0', mac: MAC }],
    userData: USER_DATA,
    cloudInit: {
      hostname: 'reached',
      sshAuthorizedKeys: [(await readFile(`${key}.pub`, 'utf8')).trim()],
      networkConfig,
    },
  });
  await vm.ctl(['vm', 'start', vm.name]);
  await waitUntil(
    'its address is told',
    BOOT_TIMEOUT_MS,
    async () => (await vm.ctl(['vm', 'describe', vm.name])).includes(`${own}/${prefixLength} on`),
    signal,
  );
  const options = [
    '-oStrictHostKeyChecking=accept-new',
    '-oConnectTimeout=20',
    '-oBatchMode=yes',
    '-oHashKnownHosts=no',
  ];
  const ssh = ['vm', 'ssh', vm.name, '-l', 'debian', '-i', key, '--', ...options];
  const known = `-oUserKnownHostsFile=${path.join(folder.path, 'known')}`;
  const said = await waitUntil(
    'its user is let in',
    BOOT_TIMEOUT_MS,
    async () => {
      const { code, stdout } = await vm.tryCtl([...ssh, known, 'hostname; ip -4 -o addr; id -un']);
      return code === 0 ? stdout : undefined;
    },
    signal,
  );
  assert.match(said, /^reached\n/);
  assert.ok(said.includes(`${own}/${prefixLength}`), said);
  assert.match(said, /\ndebian\n$/);
  assert.ok(!/dynamic/.test(said), said);
  // Its keys are known under the VM's uid, and the exit code is that of the command.
  assert.match(await readFile(path.join(folder.path, 'known'), 'utf8'), /^novacron-[0-9a-f-]{36} /);
  assert.equal((await vm.tryCtl([...ssh, known, 'exit 7'])).code, 7);
});
