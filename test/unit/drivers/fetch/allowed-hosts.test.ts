import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AllowedHosts } from '../../../../src/drivers/fetch/allowed-hosts.ts';

test('addresses in forbidden networks are found, also as IPv6 writes those of IPv4', () => {
  const hosts = new AllowedHosts(['169.254.0.0/16', '127.0.0.1/32', 'fe80::/10', '::1/128']);
  for (const forbidden of [
    '169.254.169.254',
    '127.0.0.1',
    '::1',
    'fe80::1',
    'fe80::1%eth0',
    'febf::1',
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '::ffff:127.0.0.1',
  ]) {
    assert.ok(hosts.isForbidden(forbidden), forbidden);
  }
  for (const allowed of ['169.253.0.1', '127.0.0.2', '::2', 'fec0::1', '::ffff:8.8.8.8']) {
    assert.ok(!hosts.isForbidden(allowed), allowed);
  }
});

test('what is no network is refused', () => {
  for (const wrong of [
    '',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0.0/8',
    'fe80::/129',
    '10.0.0.0/8/8',
    'a/8',
    '10.0.0.0/-1',
  ]) {
    assert.throws(() => new AllowedHosts([wrong]), RangeError, wrong);
  }
});

test('an address is its own', async () => {
  const signal = new AbortController().signal;
  assert.deepEqual(await new AllowedHosts([]).addressesOf('[::1]', signal), ['::1']);
  assert.deepEqual(await new AllowedHosts([]).addressesOf('127.0.0.1', signal), ['127.0.0.1']);
});
