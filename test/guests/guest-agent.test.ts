import assert from 'node:assert/strict';
import { test } from 'node:test';
import { waitUntil } from '../../lab/core/wait-until.ts';
import { DebianVm } from './debian-vm.ts';

/* What a Debian's own qemu-guest-agent tells and does, and what becomes of those who ask while it hangs. */

const BOOT_TIMEOUT_MS = 480_000;
const PATIENCE_MS = 60_000;

test('a Debian is asked, frozen in the midst of its writes, and given up when its agent hangs', async (context) => {
  const { signal } = context;
  await using vm = await DebianVm.prepare(['a'], signal);
  await vm.apply({});
  await vm.ctl(['vm', 'start', vm.name]);
  const guest = ['vm', 'guest'];
  const exec = (...words: readonly string[]) => vm.ctl([...guest, 'exec', vm.name, '--', ...words]);
  const connection = async () => {
    const { status } = await vm.read<{ readonly status: { readonly conditions: Condition[] } }>();
    return status.conditions.find(({ type }) => type === 'GuestAgentConnected')?.status;
  };
  await waitUntil(
    'its guest agent listens',
    BOOT_TIMEOUT_MS,
    async () => (await connection()) === 'True',
    signal,
  );

  await context.test('it says what it is', async () => {
    const info = JSON.parse(await vm.ctl([...guest, 'info', vm.name, '-o', 'json']));
    assert.equal(info.operatingSystem.id, 'debian');
    assert.match(info.operatingSystem.prettyName, /^Debian GNU\/Linux/);
    const root = info.fileSystems.find((one: { mountPoint: string }) => one.mountPoint === '/');
    assert.equal(root.type, 'ext4');
    const lo = info.interfaces.find((one: { name: string }) => one.name === 'lo');
    assert.deepEqual([lo.source, lo.addresses[0].address], ['agent', '127.0.0.1']);
  });

  await context.test('its own chpasswd and date do what is asked', async () => {
    await vm.ctl([...guest, 'set-password', vm.name, 'root', '--crypted'], '$6$salt$hash\n');
    assert.match(await exec('grep', '^root:', '/etc/shadow'), /^root:\$6\$salt\$hash:/);
    await exec('date', '-s', '@1000000000');
    await vm.ctl([...guest, 'sync-time', vm.name]);
    assert.ok(Math.abs(Number(await exec('date', '+%s')) - Date.now() / 1_000) < 30);
  });

  await context.test(
    'its writes stand still while it is frozen, and no longer than asked',
    async () => {
      const script = 'while :; do date +%s%N >>/var/probe; sync /var/probe; sleep 0.1; done';
      await exec('systemd-run', '--unit=probe', 'sh', '-c', script);
      await vm.ctl([...guest, 'freeze', vm.name, '--timeout', '5s']);
      const refused = await vm.tryCtl([...guest, 'exec', vm.name, '--', 'true']);
      assert.equal(refused.code, 255);
      const gapsMs = async () => {
        const times = (await exec('cat', '/var/probe'))
          .trim()
          .split('\n')
          .map((ns) => Number(ns) / 1e6);
        return times.slice(1).map((ms, index) => ms - (times[index] ?? 0));
      };
      await waitUntil(
        'it writes again',
        PATIENCE_MS,
        async () => (await vm.tryCtl([...guest, 'exec', vm.name, '--', 'true'])).code === 0,
        signal,
      );
      const longestMs = Math.max(...(await gapsMs()));
      // Its clock stands still for no freeze.
      assert.ok(longestMs > 3_000 && longestMs < 15_000, `${longestMs} ms`);
      await exec('systemctl', 'stop', 'probe');
    },
  );

  await context.test('while its agent hangs, each caller is told so in time', async () => {
    const stop = 'sleep 1; kill -STOP $(pidof qemu-ga); sleep 30; kill -CONT $(pidof qemu-ga)';
    await exec('systemd-run', '--unit=hang', 'sh', '-c', stop);
    await waitUntil(
      'it hangs',
      PATIENCE_MS,
      async () => {
        const { code, stderr } = await vm.tryCtl([...guest, 'sync-time', vm.name]);
        return code === 7 && /\(GUEST_AGENT_TIMEOUT\)/.test(stderr);
      },
      signal,
    );
    const beganMs = performance.now();
    await vm.ctl(['vm', 'list']);
    assert.ok(performance.now() - beganMs < 4_000);
    await waitUntil(
      'it is back',
      PATIENCE_MS,
      async () => (await vm.tryCtl([...guest, 'exec', vm.name, '--', 'true'])).code === 0,
      signal,
    );
  });

  await context.test('where its agent is stopped, the condition says so', async () => {
    await exec('systemd-run', '--on-active=1', 'systemctl', 'stop', 'qemu-guest-agent');
    await waitUntil(
      'it is gone',
      PATIENCE_MS,
      async () => (await connection()) === 'False',
      signal,
    );
    const { code, stderr } = await vm.tryCtl([...guest, 'info', vm.name, '-o', 'yaml']);
    assert.equal(code, 0, stderr);
  });
});

interface Condition {
  readonly type: string;
  readonly status: string;
}
