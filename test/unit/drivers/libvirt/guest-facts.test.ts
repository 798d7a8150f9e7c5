import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hasReason } from '../../../../src/core/errors.ts';
import { READ_FACT, readGuestCpus } from '../../../../src/drivers/libvirt/guest-facts.ts';
import { plainText } from '../../../../src/drivers/libvirt/guest-words.ts';

function parameters(values: Readonly<Record<string, string | number | bigint | boolean>>) {
  return new Map(Object.entries(values));
}

test('what libvirt has of a system, a user and a file system is read', () => {
  const os = parameters({
    'os.id': 'debian',
    'os.pretty-name': 'Debian 12',
    'os.machine': 'x86_64',
  });
  assert.deepEqual(READ_FACT.os(os).value, {
    id: 'debian',
    name: '',
    prettyName: 'Debian 12',
    version: '',
    kernelRelease: '',
    machine: 'x86_64',
  });
  const users = parameters({ 'user.count': 1, 'user.0.name': 'root', 'user.0.login-time': 5n });
  assert.deepEqual(READ_FACT.users(users).value, [{ name: 'root', domain: '', loginAtMs: 5 }]);
  const fileSystems = parameters({
    'fs.count': 1,
    'fs.0.name': 'vda1',
    'fs.0.mountpoint': '/',
    'fs.0.fstype': 'ext4',
    'fs.0.total-bytes': 10n,
    'fs.0.used-bytes': 2n ** 63n,
    'fs.0.disk.count': 2,
    'fs.0.disk.0.alias': 'vda',
    'fs.0.disk.1.device': '/dev/sdb',
  });
  assert.deepEqual(READ_FACT.fileSystems(fileSystems), {
    value: [
      {
        name: 'vda1',
        mountPoint: '/',
        type: 'ext4',
        totalBytes: 10n,
        usedBytes: 2n ** 63n,
        disks: ['vda', '/dev/sdb'],
      },
    ],
    problem: undefined,
  });
});

test('nobody who is logged in, and no file system, is no problem', () => {
  assert.deepEqual(READ_FACT.users(parameters({ 'user.count': 0 })).value, []);
  assert.deepEqual(READ_FACT.fileSystems(new Map()), { value: [], problem: undefined });
});

test('numbers of no meaning are left out', () => {
  const offset = parameters({ 'timezone.name': 'CET', 'timezone.offset': 86_400 });
  assert.equal(READ_FACT.timeZone(offset).problem?.reason, 'GUEST_ANSWER_INVALID');
  const users = parameters({
    'user.count': 1,
    'user.0.name': 'root',
    'user.0.login-time': 2n ** 64n - 1n,
  });
  assert.equal(READ_FACT.users(users).value?.[0]?.loginAtMs, undefined);
});

test('of a list without an end so many are shown, and that there were more is said', () => {
  const count = 1_000_000_000;
  const users = new Map<string, string | number>([['user.count', count]]);
  for (let index = 0; index < 300; index += 1) users.set(`user.${index}.name`, `user-${index}`);
  const { value, problem } = READ_FACT.users(users);
  assert.equal(value?.length, 256);
  assert.match(problem?.message ?? '', /names 1000000000, of which 256 are shown/);
});

test('a guest that says nothing has said nothing', () => {
  assert.equal(READ_FACT.os(new Map()).problem?.reason, 'GUEST_ANSWER_INVALID');
  assert.equal(READ_FACT.hostname(parameters({ hostname: 7 })).value, undefined);
});

test('a text cannot move a cursor, turn the line around, or fill the screen', () => {
  assert.equal(
    plainText('a\u001b[2J\u0000\n\u009b\u202eb\u2028c'),
    'a\uFFFD[2J\uFFFD\uFFFD\uFFFD\uFFFDb\uFFFDc',
  );
  assert.equal(plainText('Grüße, 世界 🙂'), 'Grüße, 世界 🙂');
  assert.equal(plainText('x'.repeat(10_000_000)), `${'x'.repeat(256)}…`);
  assert.equal(plainText('🙂'.repeat(300)), `${'🙂'.repeat(256)}…`);
  assert.equal(plainText('x'.repeat(256)), 'x'.repeat(256));
});

const read = (vcpus: string, online: string) => readGuestCpus(parameters({ vcpus, online }));

test('CPUs that a guest uses are counted, and nonsense is not', () => {
  assert.deepEqual(read('0-3', '0,2'), { seen: 4, online: 2 });
  for (const [vcpus, online] of [
    ['0-1', '0-3'],
    ['all', '0'],
    ['0-1', ''],
    ['0-9999', '0'],
  ] as const) {
    assert.throws(
      () => read(vcpus, online),
      (error) => hasReason(error, 'GUEST_ANSWER_INVALID'),
    );
  }
});
