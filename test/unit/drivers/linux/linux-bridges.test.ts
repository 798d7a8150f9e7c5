import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LinuxBridges } from '../../../../src/drivers/linux/linux-bridges.ts';

const never = new AbortController().signal;

test('a host whose interfaces cannot be seen is not taken for one without bridges', async () => {
  await assert.rejects(new LinuxBridges('/nowhere/net').list(never), {
    reason: 'HYPERVISOR_FAILURE',
    message:
      /^Cannot look for the bridges of this host: \/nowhere\/net cannot be read; mount sysfs/,
  });
});
