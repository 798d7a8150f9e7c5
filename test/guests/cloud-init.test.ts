import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DebianVm } from './debian-vm.ts';

/* What a Debian's own cloud-init makes of what it is told. */

const KEY =
  'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlZ3fYw3aBvm5bk0U2aVw6f7t8e9d0c1b2a3948576 me@here';
const NETWORK = 'version: 2\nethernets:\n  none:\n    match: {name: "eth-none"}\n    dhcp4: true\n';
const CLOUD_INIT = {
  sshAuthorizedKeys: [KEY],
  networkConfig: NETWORK,
  passwordSecret: 'web-password',
};
/** As openssl passwd -6 writes it. */
const HASH =
  '$6$salted$ZYIOMqTBYZzOXMOS8YUrLCaOLtPY6fMw7dCLTEa1kLHIHsWZX3DQmhmg7rHBhcbVMaVNOqpe5oHqAcaE7oHrR0';

/** At each boot it says who it is, after all else; at its first ones it also counts. */
function userDataOf(greeting: string): string {
  const say = [
    `${greeting} id=$(cat /var/lib/cloud/data/instance-id) host=$(hostname)`,
    'firsts=$(wc -l </var/lib/firsts) key=$(grep -c me@here /home/debian/.ssh/authorized_keys)',
    // There is no such network; what cloud-init makes of it stands in its log.
    "password=$(grep -c '^debian:$6$salted' /etc/shadow)",
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
  await using vm = await DebianVm.prepare(['a', 'b'], signal);
  await vm.putSecret('web-password', `${HASH}\n`);
  await vm.apply({ userData: userDataOf('hello'), cloudInit: CLOUD_INIT });
  await vm.ctl(['vm', 'start', vm.name]);
  const first = await vm.nextSaid('a', 'hello');
  const { metadata } = await vm.read<{ readonly metadata: { readonly uid: string } }>();
  const asMade = `hello id=${metadata.uid} host=${vm.name} firsts=1 key=1 password=1 network=1`;
  assert.equal(first, asMade);

  // What is changed is for a first boot alone, and said so.
  const changed = { userData: userDataOf('changed'), cloudInit: CLOUD_INIT };
  assert.match(await vm.apply(changed, '--dry-run'), /first boot only.*cloudInit\.instanceId/s);
  await vm.apply(changed);
  await vm.ctl(['migrate', vm.name, '--to', 'b']);
  vm.forgetHeard();
  const restart = ['--node', 'b', 'vm', 'restart', vm.name, '--timeout', '8m'];
  await vm.ctl(restart);
  assert.equal(await vm.nextSaid('b', 'hello'), asMade);

  // Asked for by name, it is done once more.
  const cloudInit = { ...CLOUD_INIT, instanceId: 'second', hostname: 'other' };
  await vm.apply({ userData: userDataOf('again'), cloudInit }, '--node', 'b');
  await vm.ctl(restart);
  const again = 'again id=second host=other firsts=2 key=1 password=1 network=1';
  assert.equal(await vm.nextSaid('b', 'again'), again);
});

test("a Debian is told the same by OpenStack's disk", async ({ signal }) => {
  await using vm = await DebianVm.prepare(['a'], signal);
  await vm.putSecret('web-password', `${HASH}\n`);
  const { networkConfig: _, ...others } = CLOUD_INIT;
  const cloudInit = {
    ...others,
    dataSource: 'configdrive',
    instanceId: 'drive',
    hostname: 'other',
  };
  await vm.apply({ userData: userDataOf('hello'), cloudInit });
  await vm.ctl(['vm', 'start', vm.name]);
  const told = 'hello id=drive host=other firsts=1 key=1 password=1 network=0';
  assert.equal(await vm.nextSaid('a', 'hello'), told);
});
