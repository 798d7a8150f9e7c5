import assert from 'node:assert/strict';
import { test } from 'node:test';
import { reachableAddress } from '../../../../src/cli/input/reachable-address.ts';

/** Interfaces, each with these addresses. */
function found(...interfaces: readonly (readonly string[])[]): string | undefined {
  return reachableAddress(
    interfaces.map((addresses, at) => ({
      source: 1 as const,
      name: `eth${at}`,
      macAddress: '',
      addresses: addresses.map((address) => ({ address, prefixLength: 24 })),
    })),
  );
}

test('an address is one that others can reach, IPv4 first', () => {
  assert.equal(found(['127.0.0.1', '::1'], ['fe80::1', '2001:db8::5', '10.0.0.5']), '10.0.0.5');
  assert.equal(found(['169.254.1.1'], ['fe80::1', '2001:db8::5']), '2001:db8::5');
  assert.equal(found(['127.0.0.1', '::1'], ['fe80::2', 'FEBF::1']), undefined);
  assert.equal(found(), undefined);
});
