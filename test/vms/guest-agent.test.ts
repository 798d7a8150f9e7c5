import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { Lab } from '../../lab/lab.ts';
import { GuestVm } from '../e2e/guest-vm.ts';

/* What a user of novactl has of a guest in which QEMU's own guest agent runs. */

const MIB = 1024 * 1024;
const PATIENCE_MS = 60_000;
const WORDS = 'echo "<$1>"; echo "$2" >&2; exit 7';

test('a guest is asked, told and frozen by novactl, by its real guest agent', async (context) => {
  const { signal } = context;
  await using lab = await Lab.create({ nodes: ['a', 'b'] }, signal);
  await lab.startAgents({ accelerator: 'tcg' }, signal);
  const vm = await GuestVm.boot(lab, { name: 'web', hasDisk: true }, signal);
  const node = lab.node('a');
  const said = async (pattern: RegExp) => {
    const log = await node.run(['cat', node.agent.logPath], signal);
    assert.match(log, pattern);
    return log;
  };

  await context.test('it says what it is, and where each address is from', async () => {
    const text = await vm.ok(['vm', 'guest', 'info', 'web']);
    assert.match(text, /default\/web +connected +agent-guest +A guest with a guest agent/);
    assert.match(text, /lo +agent/);
    assert.match(text, /vda +ext4 +\/data/);
    const guest = JSON.parse(await vm.ok(['vm', 'guest', 'info', 'web', '-o', 'json']));
    assert.equal(guest.hostname, 'agent-guest');
    assert.equal(guest.operatingSystem.id, 'agent-guest');
    assert.equal(guest.timeZone.name, 'UTC');
    assert.equal(guest.fileSystems[0].mountPoint, '/data');
    assert.ok(guest.fileSystems[0].totalBytes > 8 * MIB);
    assert.equal(guest.problems, undefined);
  });

  await context.test(
    'a program has its words, its input, its outputs and its exit code',
    async () => {
      const { code, stdout, stderr } = await vm.exec('sh', '-c', WORDS, 'sh', 'a  b', "it's $HOME");
      assert.deepEqual([code, stdout, stderr], [7, '<a  b>\n', "it's $HOME\n"]);
      const echoed = await vm.ctl(['vm', 'guest', 'exec', 'web', '-i', '--', 'cat'], 'from here');
      assert.deepEqual([echoed.code, echoed.stdout], [0, 'from here']);
      assert.equal((await vm.exec('sh', '-c', 'kill -9 $$')).code, 128 + 9);
      const missing = await vm.exec('no-such-program');
      assert.equal(missing.code, 127);
      assert.match(missing.stderr, /no-such-program.*not found/);
      const log = await said(/"command":"\[\\"no-such-program\\"\]"/);
      assert.doesNotMatch(log, /from here/);
    },
  );

  await context.test(
    'a program that writes without end is cut, and the guest agent lives on',
    async () => {
      const { code, stdout, stderr } = await vm.exec('head', '-c', String(20 * MIB), '/dev/zero');
      assert.equal(code, 0);
      assert.equal(stdout.length, MIB);
      assert.match(stderr, /wrote more to its standard output than is kept/);
      assert.equal((await vm.exec('sh', '-c', ':')).code, 0);
    },
  );

  await context.test(
    'a program that does not end is named by its process id, and goes on',
    async () => {
      const { code, stderr } = await vm.guest('exec', '--timeout', '1s', '--', 'sleep', '1000');
      assert.equal(code, 255);
      const pid = /as process (\d+) .*\(GUEST_COMMAND_TIMED_OUT\)/.exec(stderr)?.[1];
      assert.ok(pid !== undefined, stderr);
      assert.match(
        await vm.ok(['vm', 'guest', 'exec', 'web', '--', 'cat', `/proc/${pid}/cmdline`]),
        /sleep/,
      );
    },
  );

  await context.test('a password is set from standard input, and stands in no log', async () => {
    const args = ['vm', 'guest', 'set-password', 'web', 'root'];
    const secret = 'correct horse battery';
    assert.match(await vm.ok(args, `${secret}\n`), /root of VM default\/web has a new password/);
    assert.equal((await vm.exec('cat', '/run/passwords')).stdout, `options=\nroot:${secret}\n`);
    await vm.ok([...args, '--crypted'], '$6$salt$hash\n');
    assert.match(
      (await vm.exec('cat', '/run/passwords')).stdout,
      /options=-e\nroot:\$6\$salt\$hash/,
    );
    const empty = await vm.ctl(args, '');
    assert.equal(empty.code, 2);
    const log = await node.run(['cat', node.agent.logPath], signal);
    assert.doesNotMatch(log, /correct horse|salt/);
    const journal = await node
      .run(['grep', '-rc', secret, `${node.plan.directory}/state`], signal)
      .catch(() => '');
    assert.doesNotMatch(journal, /:[1-9]/);
  });

  await context.test('a clock that is wrong is set, on demand and after a resume', async () => {
    const seconds = async () => Number((await vm.exec('date', '+%s')).stdout);
    const isRight = async () => Math.abs((await seconds()) - Date.now() / 1_000) < 30;
    await vm.exec('date', '-s', '@1000000000');
    assert.equal(await isRight(), false);
    assert.match(await vm.ok(['vm', 'guest', 'sync-time', 'web']), /has the time of its node/);
    assert.equal(await isRight(), true);
    await vm.exec('date', '-s', '@1000000000');
    await vm.ok(['vm', 'suspend', 'web']);
    const paused = await vm.exec('date');
    assert.equal(paused.code, 255);
    assert.match(paused.stderr, /vm resume web.*\(VM_PAUSED\)/s);
    await vm.ok(['vm', 'resume', 'web']);
    await waitUntil('its clock is set after the resume', PATIENCE_MS, isRight, signal);
  });

  await context.test('file systems are frozen and thawed', async () => {
    const write = ['sh', '-c', 'echo more >>/data/file && sync'];
    assert.match(await vm.ok(['vm', 'guest', 'freeze', 'web']), /is frozen, 1 file system, until/);
    assert.match(
      await vm.ok(['vm', 'guest', 'freeze', 'web', '--timeout', '50s']),
      /frozen already/,
    );
    assert.match(await vm.ok(['vm', 'guest', 'info', 'web']), /FROZEN UNTIL/);
    const refused = await vm.exec(...write);
    assert.equal(refused.code, 255);
    assert.match(refused.stderr, /vm guest thaw.*\(GUEST_AGENT_REFUSED\)/s);
    const migration = await vm.ctl(['migrate', 'web', '--to', 'b']);
    assert.equal(migration.code, 4);
    assert.match(migration.stderr, /frozen.*vm guest thaw web/s);
    assert.match(await vm.ok(['vm', 'guest', 'thaw', 'web']), /is thawed \(1\)/);
    assert.match(await vm.ok(['vm', 'guest', 'thaw', 'web']), /was not frozen/);
    assert.equal((await vm.exec(...write)).code, 0);
  });

  await context.test(
    'what somebody else has frozen is left alone, unless it is forced',
    async () => {
      await node.libvirt.virsh(['domfsfreeze', 'default_web'], signal);
      for (const verb of ['freeze', 'thaw']) {
        const { code, stderr } = await vm.guest(verb);
        assert.equal(code, 4, stderr);
        assert.match(stderr, /somebody else has frozen.*\(GUEST_FROZEN\)/s);
      }
      assert.match((await vm.guest('thaw', '--force')).stdout, /is thawed/);
    },
  );

  await context.test(
    'a guest stays frozen no longer than asked, whoever is killed meanwhile',
    async () => {
      await vm.ok(['vm', 'guest', 'freeze', 'web', '--timeout', '5s']);
      await node.agent.kill(signal);
      await node.agent.restart(signal);
      await waitUntil(
        'the next agent has thawed it',
        PATIENCE_MS,
        async () => (await vm.exec('sh', '-c', 'echo more >>/data/file && sync')).code === 0,
        signal,
      );
      await said(/as their time was over/);
      assert.match((await vm.guest('thaw')).stdout, /was not frozen/);
    },
  );

  await context.test(
    'after a migration its guest is asked there, and its clock is right',
    async () => {
      await vm.exec('date', '-s', '@1000000000');
      await vm.ok(['migrate', 'web', '--to', 'b']);
      await vm.untilConnected('--node', 'b');
      const date = ['--node', 'b', 'vm', 'guest', 'exec', 'web', '--', 'date', '+%s'];
      const isRight = async () => Math.abs(Number(await vm.ok(date)) - Date.now() / 1_000) < 30;
      await waitUntil('its clock is set after the migration', PATIENCE_MS, isRight, signal);
      const gone = await vm.exec('date');
      assert.equal(gone.code, 255);
      assert.match(gone.stderr, /node b.*\(VM_NOT_FOUND\)/s);
      await vm.ok(['migrate', 'web', '--to', 'a', '--node', 'b']);
      await vm.untilConnected();
    },
  );

  await context.test('a VM that is off, or whose agent has gone, is told apart', async () => {
    // The one that the guest starts again comes a little later.
    await vm.ok(['vm', 'destroy', 'web']);
    assert.equal((await vm.connection())?.reason, 'NotRunning');
    for (const verb of ['info', 'freeze', 'thaw', 'sync-time']) {
      const { code, stderr } = await vm.guest(verb);
      assert.equal(code, 4, stderr);
      assert.match(stderr, /it is off.*\(VM_NOT_RUNNING\)/s);
    }
    const unknown = await vm.ctl(['vm', 'guest', 'info', 'nobody']);
    assert.equal(unknown.code, 3);
    const viewer = ['--node', 'a-viewer', 'vm', 'guest'];
    const refused = await vm.ctl([...viewer, 'freeze', 'web']);
    assert.equal(refused.code, 6, refused.stderr);
  });
});
