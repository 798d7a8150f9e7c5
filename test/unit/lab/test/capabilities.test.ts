import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CAPABILITIES, findCapability, needs } from '../../../../lab/test/capabilities.ts';

// Finding out about this one boots a guest, which the lab's own tests do.
const PROBED = CAPABILITIES.filter((capability) => capability !== 'kvm-guests');

test('a capability is there, or else its lack is a reason that may skip a test', async () => {
  for (const capability of PROBED) {
    const reason = await needs(capability);
    if (reason !== false) assert.equal(findCapability(reason), capability);
  }
});

test('no other reason names a capability', () => {
  assert.equal(findCapability(''), undefined);
  assert.equal(findCapability('netem'), undefined);
  assert.equal(findCapability('needs tea, which the build machine lacks: it is out'), undefined);
});
