import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type SeedSecrets, seedImage } from '../../../src/core/cloud-init-seed.ts';
import type { Machine } from '../../../src/core/resources/machine.ts';
import { tinyVm } from '../../fixtures/tiny-vm.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlZ3fYw3aBvm5bk0U2aVw6f7t8e9d0c1b2a3948576 me';

/** All that is in an image, as text. */
function textOf(cloudInit: Machine['cloudInit'], secrets: Partial<SeedSecrets> = {}): string {
  const vm = tinyVm({ name: 'web', uid: 'd1b2c3d4-0000-4000-8000-000000000001' }, { cloudInit });
  const all = { userData: undefined, password: undefined, ...secrets };
  return seedImage(vm, all).toString('latin1');
}

test('a password stands in vendor data, which user data come before', () => {
  const text = textOf({}, { password: Buffer.from('it "s\\ secret') });
  assert.ok(
    text.includes('#cloud-config\n{"password":"it \\"s\\\\ secret","chpasswd":{"expire":false}}\n'),
  );
  assert.ok(text.includes('VENDOR_DATA.;1'));
  assert.ok(!textOf({}).includes('VENDOR_DATA'));
});

test('a config drive has what cloudbase-init looks for', () => {
  const password = Buffer.from('secret');
  const text = textOf({ dataSource: 'configdrive', sshAuthorizedKeys: [KEY] }, { password });
  assert.ok(text.includes('config-2'));
  const json = text.slice(text.indexOf('{\n  "uuid"'));
  assert.deepEqual(JSON.parse(json.slice(0, json.indexOf('\n}\n') + 2)), {
    uuid: 'd1b2c3d4-0000-4000-8000-000000000001',
    name: 'web',
    hostname: 'web',
    public_keys: { 'key-0': `${KEY}\n` },
    admin_pass: 'secret',
  });
  for (const name of ['OPENSTACK', 'LATEST', 'META_DATA_JSON.;1', 'USER_DATA.;1']) {
    assert.ok(text.includes(name), name);
  }
});
