import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { test } from 'node:test';
import { ipVersionOf, isIpv6 } from '../../../src/core/ip-address.ts';

test('an address is one where Node says so', () => {
  const v4 = '10.0.0.1 10.0.0 256.0.0.1 0x10.0.0.1';
  const v6 = ':: ::1 fd00::1 fe80::1%eth0 : [::1] ::ffff:10.0.0.1 a:b 1:2:3:4:5:6:7:8:9';
  const texts = ['', ...`${v4} ${v6} node-a node-a:7443`.split(' ')];
  for (const text of texts) {
    assert.equal(ipVersionOf(text), isIP(text), text);
    assert.equal(isIpv6(text), isIP(text) === 6, text);
  }
});
