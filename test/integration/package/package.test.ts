import assert from 'node:assert/strict';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { after, test } from 'node:test';
import { run } from '../../../lab/core/run-command.ts';
import { buildDebianPackage } from '../../../lab/package/debian-package.ts';
import { HostCopy } from './host-copy.ts';

const never = new AbortController().signal;
const folder = await mkdtempDisposable(path.join(os.tmpdir(), 'package-test-'));
after(() => folder.remove());

const build = async (version: string) =>
  (await buildDebianPackage({ version, isQuick: true, folder: folder.path }, never)).file;
const older = await build('1.0.0');
const newer = await build('1.1.0');

/** For tests that change nothing in it. */
const host = await installed(older);
after(() => host[Symbol.asyncDispose]());

async function field(name: string): Promise<string> {
  return (await run(['dpkg-deb', '--field', older, name], {}, never)).trim();
}

test('it says what it is and what it needs', async () => {
  assert.equal(await field('Package'), 'novacron-agent');
  assert.equal(await field('Version'), '1.0.0');
  const depends = (await field('Depends')).split(', ').map((each) => each.split(' ')[0]);
  for (const needed of ['libc6', 'libstdc++6', 'libvirt0', 'libvirt-daemon-system', 'openssl']) {
    assert.ok(depends.includes(needed), needed);
  }
  // Whatever Debian calls the packages of the libraries that the streamer is linked to.
  assert.match(depends.join(' '), /\blibssl3.* libzstd1\b/);
});

test('all of it is root’s, changed by nobody else, and where Debian has such things', async () => {
  const list = await run(['dpkg-deb', '--contents', older], {}, never);
  const lines = list.trim().split('\n');
  for (const line of lines) assert.match(line, /^[d-]rw[x-]r-[x-]r-[x-] root\/root /, line);
  const files = lines.filter((line) => line.startsWith('-')).map((line) => line.split(' ./')[1]);
  for (const file of [
    'usr/bin/novactl',
    'usr/sbin/novacron-agent',
    'usr/libexec/novacron/novacron-streamer',
    'usr/lib/novacron/bin/node',
    'usr/lib/systemd/system/novacron-agent.service',
    'usr/lib/systemd/system/novacron-guests.service',
    'usr/share/novacron/agent.yaml',
    'usr/share/bash-completion/completions/novactl',
    'usr/share/zsh/vendor-completions/_novactl',
    'usr/share/fish/vendor_completions.d/novactl.fish',
    'usr/share/man/man1/novactl.1.gz',
    'usr/share/man/man8/novacron-agent.8.gz',
    'usr/share/man/man5/novacron-agent.yaml.5.gz',
    'usr/share/doc/novacron-agent/copyright',
    'usr/share/doc/novacron-agent/docs/install.md',
  ]) {
    assert.ok(files.includes(file), file);
  }
  assert.deepEqual(
    files.filter((file) => !/^usr\/(s?bin|lib|libexec|share)\//.test(file ?? '')),
    [],
  );
});

test('the same source makes the same package', async () => {
  const first = await readFile(older);
  await build('1.0.0');
  assert.ok(first.equals(await readFile(older)));
});

test('its programs run on the Node that comes with them, whatever the machine has', async () => {
  const bare = { PATH: '/nowhere' };
  const version = await host.tryRun(['/usr/bin/novactl', 'version', '--client'], never, bare);
  assert.equal(version.stdout, 'novactl 1.0.0\n');
  const check = await host.tryRun(['/usr/sbin/novacron-agent', '--check'], never, bare);
  assert.match(check.stdout, /^\/etc\/novacron\/agent\.yaml is valid: node \S+ is alone/);
  const streamer = '/usr/libexec/novacron/novacron-streamer';
  assert.equal((await host.tryRun([streamer, '--version'], never, bare)).code, 0);
});

test('both units start with the host from the first installation on', async () => {
  const wants = await host.run('ls /etc/systemd/system/multi-user.target.wants', never);
  assert.match(wants, /novacron-agent\.service\nnovacron-guests\.service/);
});

test('the agent starts as it was installed, and its driver reaches for libvirt', async () => {
  const said = await host.run(
    `novacron-agent >/tmp/log & agent=$!
     trap 'kill $agent; wait $agent' EXIT
     until grep -q 'Agent started' /tmp/log; do kill -0 $agent; sleep 0.1; done
     until novactl node get -o json | grep -q 'Failed to connect socket'; do sleep 0.1; done
     novactl version`,
    AbortSignal.timeout(60_000),
  );
  assert.match(said, /novactl 1\.0\.0\nagent {3}1\.0\.0/);
});

test('an upgrade and a downgrade leave the configuration as it is, or away', async () => {
  await using changed = await installed(older);
  await changed.run('echo logLevel: debug >>/etc/novacron/agent.yaml', never);
  await install(changed, newer);
  assert.match(await changed.run('tail -n 1 /etc/novacron/agent.yaml', never), /logLevel: debug/);
  assert.equal(await changed.run('novactl version --client', never), 'novactl 1.1.0\n');
  await changed.run('rm /etc/novacron/agent.yaml', never);
  await install(changed, older);
  assert.equal(await changed.run('novactl version --client', never), 'novactl 1.0.0\n');
  assert.equal(await changed.run('ls /etc/novacron', never), '');
});

test('an agent over the journal of a newer one says what to do, and leaves the journal alone', async () => {
  await using changed = await installed(older);
  const journal = '/var/lib/novacron/journal.db';
  const makeNewer = `new (require('node:sqlite').DatabaseSync)('${journal}').exec('PRAGMA user_version = 99')`;
  await changed.run(
    `mkdir -p /var/lib/novacron; /usr/lib/novacron/bin/node -e "${makeNewer}"`,
    never,
  );
  const { code, stdout } = await changed.tryRun(['novacron-agent'], AbortSignal.timeout(60_000));
  assert.equal(code, 2);
  assert.match(stdout, /"level":"fatal".*by a newer agent .*: install that agent again/);
  assert.match(await changed.run(`ls ${journal}*`, never), /^\S+journal\.db\n$/);
});

test('removal says how to go on; purging keeps what VMs and other nodes may need', async () => {
  await using changed = await installed(older);
  await changed.run('novactl pki init; mkdir -p /var/lib/novacron/private', never);
  const said = await changed.run('dpkg --no-triggers --remove novacron-agent', never);
  assert.match(said, /The VMs of this node run on/);
  assert.match(said, /virsh list --all/);
  assert.equal(await changed.run('cat /etc/novacron/agent.yaml | wc -l', never), '12\n');
  const purged = await changed.run('dpkg --no-triggers --purge novacron-agent', never);
  assert.match(purged, /^Kept, .*: \/etc\/novacron \/var\/lib\/novacron$/m);
  assert.equal(
    await changed.run('ls /etc/novacron /etc/novacron/ca /var/lib/novacron', never),
    '/etc/novacron:\nca\n\n/etc/novacron/ca:\nca.crt\nca.key\n\n/var/lib/novacron:\nprivate\n',
  );
  const left = await changed.run(
    'find /usr /etc /lib/systemd -name "*novac*" ! -path "/etc/novacron*" ! -path "/usr/*/dpkg/*"',
    never,
  );
  assert.equal(left, '');
});

async function installed(file: string): Promise<HostCopy> {
  await using stack = new AsyncDisposableStack();
  const host = stack.use(await HostCopy.make());
  // A machine that has been installed by hand before is none that was not.
  await host.run('rm -rf /etc/novacron /var/lib/novacron', never);
  await install(host, file);
  stack.move();
  return host;
}

/** Without triggers: what the machine's own packages make of new manual pages is not looked at. */
async function install(host: HostCopy, file: string): Promise<void> {
  await host.put(file, '/tmp/package.deb');
  await host.run('dpkg --no-triggers --install /tmp/package.deb; rm /tmp/package.deb', never);
}
