import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../../../src/cli/program.ts';
import { FakeCliIo } from '../../fakes/fake-cli-io.ts';
import { never, newRequest, uidOf } from '../../unit/agent/vms/one-node.ts';
import { ServedNode } from './served-node.ts';

const VM = 'test/web';

/** A node with a VM `test/web` in whose guest an agent listens. */
async function withGuest() {
  const served = await ServedNode.start();
  const request = newRequest('web');
  await served.node.create(request);
  const guest = served.node.hypervisor.giveGuestAgent(uidOf(request));
  return { served, guest, uid: uidOf(request) };
}

/** Words may hold spaces. */
async function run(
  { socket }: Pick<ServedNode, 'socket'>,
  words: readonly string[],
  io = new FakeCliIo(),
) {
  const code = await runCli(['--address', `unix:${socket}`, ...words], io);
  return { code, stdout: io.stdout.text, stderr: io.stderr.text };
}

test('info shows what the guest says, and where its addresses are from', async () => {
  const { served, uid } = await withGuest();
  await using _served = served;
  const { code, stdout, stderr } = await served.novactl(`vm guest info ${VM}`);
  assert.equal(code, 0, stderr);
  assert.match(
    stdout,
    /^test\/web +connected +fake-guest +Debian GNU\/Linux 12 \(bookworm\) +6\.1/m,
  );
  assert.match(stdout, /UTC \(\+00:00\)/);
  assert.match(stdout, /^eth0 +agent +52:54:00:00:00:01 +192\.0\.2\.10\/24$/m);
  assert.match(stdout, /^vda1 +ext4 +\/ +7\.5Gi +954Mi +vda$/m);
  assert.match(stdout, /^root +2023-11-14T22:13:20\.000Z$/m);
  const document = JSON.parse((await served.novactl(`vm guest info ${VM} -o json`)).stdout);
  assert.equal(document.kind, 'Guest');
  assert.equal(document.virtualMachine.uid, uid);
  assert.equal(document.interfaces[0].source, 'agent');
  served.node.hypervisor.connectGuestAgent(uid, false);
  const absent = await served.novactl(`vm guest info ${VM}`);
  assert.match(absent.stdout, /^test\/web +absent/m);
  assert.match(absent.stdout, /^hostname +GUEST_AGENT_NOT_CONNECTED +No answer: .*install/m);
});

test('exec ends with the code of the program, and prints each of its outputs', async () => {
  const { served, guest } = await withGuest();
  await using _served = served;
  guest.runs = ({ stdin }) => ({
    exitCode: 9,
    stdout: Buffer.concat([Buffer.from('out '), stdin]),
    stderr: Buffer.from('err'),
  });
  const io = new FakeCliIo();
  io.stdin = 'input';
  const words = ['vm', 'guest', 'exec', VM, '--stdin', '--', 'tool', '-v', '--', 'a b'];
  const { code, stdout, stderr } = await run(served, words, io);
  assert.deepEqual([code, stdout, stderr], [9, 'out input', 'err']);
  assert.deepEqual(guest.commands[0]?.words.slice(-4), ['tool', '-v', '--', 'a b']);
  guest.runs = () => ({ exitCode: undefined, signal: 15 });
  assert.equal((await run(served, ['vm', 'guest', 'exec', VM, '--', 'tool'])).code, 143);
  guest.runs = () => ({ exitCode: 256 });
  assert.equal((await run(served, ['vm', 'guest', 'exec', VM, '--', 'tool'])).code, 255);
});

test('what keeps a program from being run is told as by ssh, with 255', async () => {
  const { served, guest, uid } = await withGuest();
  await using _served = served;
  guest.runs = () => undefined;
  const slow = await run(served, ['vm', 'guest', 'exec', VM, '--timeout', '1s', '--', 'tool']);
  assert.equal(slow.code, 255);
  assert.match(
    slow.stderr,
    /goes on there as process \d+.*\(GUEST_COMMAND_TIMED_OUT\)\nWhat to do: /,
  );
  served.node.hypervisor.connectGuestAgent(uid, false);
  const absent = await run(served, ['vm', 'guest', 'exec', VM, '--', 'tool']);
  assert.equal(absent.code, 255);
  assert.match(absent.stderr, /\(GUEST_AGENT_NOT_CONNECTED\)/);
  // A command line that is wrong is wrong before anybody is asked.
  assert.equal((await run(served, ['vm', 'guest', 'exec', VM])).code, 2);
});

test('a password comes from standard input, or is typed twice', async () => {
  const { served, guest } = await withGuest();
  await using _served = served;
  const words = ['vm', 'guest', 'set-password', VM, 'root'];
  const io = new FakeCliIo();
  io.stdin = 'correct horse\nand more\n';
  const { code, stdout, stderr } = await run(served, words, io);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^User root of VM test\/web has a new password$/m);
  assert.equal(guest.passwords.get('root'), 'correct horse');
  const typing = new FakeCliIo();
  typing.isInteractive = true;
  typing.secrets = ['one', 'other'];
  const mistyped = await run(served, words, typing);
  assert.equal(mistyped.code, 2);
  assert.match(mistyped.stderr, /not the same; nothing has changed/);
  assert.equal(guest.passwords.get('root'), 'correct horse');
  assert.equal((await run(served, words)).code, 2);
});

test('freeze, thaw and sync-time say what they have done', async () => {
  const { served, guest } = await withGuest();
  await using _served = served;
  const frozen = await served.novactl(`vm guest freeze ${VM} --timeout 30s`);
  assert.match(frozen.stdout, /^The guest of VM test\/web is frozen, 1 file system, until 20/);
  assert.match((await served.novactl(`vm guest info ${VM}`)).stdout, /FROZEN UNTIL/);
  assert.match((await served.novactl(`vm guest freeze ${VM}`)).stdout, /was frozen already/);
  assert.match((await served.novactl(`vm guest thaw ${VM}`)).stdout, /is thawed \(1\)/);
  assert.match((await served.novactl(`vm guest thaw ${VM}`)).stdout, /was not frozen/);
  assert.match((await served.novactl(`vm guest sync-time ${VM}`)).stdout, /has the time/);
  assert.equal(guest.clockSets, 1);
  guest.isFrozen = true;
  const foreign = await served.novactl(`vm guest thaw ${VM}`);
  assert.equal(foreign.code, 4);
  assert.match(foreign.stderr, /\(GUEST_FROZEN\)\nWhat to do: /);
});

test('ssh goes to the first address that can be reached, with host keys kept for the VM', async () => {
  const { served, uid } = await withGuest();
  await using _served = served;
  const io = new FakeCliIo();
  io.programExitCode = 3;
  const words = ['vm', 'ssh', VM, '-l', 'debian', '--', '-L', '8080:localhost:80', 'uptime', '-p'];
  assert.equal((await run(served, words, io)).code, 3);
  const alias = ['-o', `HostKeyAlias=novacron-${uid}`, '-l', 'debian'];
  const forward = ['-L', '8080:localhost:80'];
  assert.deepEqual(io.ran, [['ssh', ...alias, ...forward, '192.0.2.10', 'uptime', '-p']]);
  served.node.hypervisor.connectGuestAgent(uid, false);
  const { code, stderr } = await run(served, ['vm', 'ssh', VM]);
  assert.equal(code, 4);
  assert.match(stderr, /no address of its guest is known.*novactl vm console test\/web/);
});

test('describe shows what the guest says of itself, and why it does not', async () => {
  const { served, uid } = await withGuest();
  await using _served = served;
  const { stdout } = await served.novactl(`vm describe ${VM}`);
  assert.match(stdout, /Guest:\n {2}Host name: +fake-guest\n {2}OS: +Debian GNU\/Linux 12/);
  assert.match(stdout, /Addresses: +192\.0\.2\.10\/24 on eth0, by agent/);
  served.node.hypervisor.connectGuestAgent(uid, false);
  await served.node.inventory.refresh(never);
  assert.doesNotMatch((await served.novactl(`vm describe ${VM}`)).stdout, /Guest:/);
});
