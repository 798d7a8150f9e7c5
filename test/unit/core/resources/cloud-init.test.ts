import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cloudInit } from '../../../../src/core/resources/cloud-init.ts';
import { schemaMessages } from '../../../../src/core/resources/schema-issues.ts';

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPlZ3fYw3aBvm5bk0U2a me@here';

function problemsOf(value: unknown): readonly string[] {
  const { error } = cloudInit.safeParse(value, schemaMessages);
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')} ${message}`);
}

test('what cloud-init takes is taken', () => {
  const value = {
    instanceId: '2026-11-30.1',
    hostname: 'web.example.org',
    sshAuthorizedKeys: [KEY, `restrict,command="/bin/true" ${KEY}`, KEY.replace(' me@here', '')],
    networkConfig: 'version: 2\nethernets:\n  all:\n    match: {name: "en*"}\n    dhcp4: true\n',
  };
  assert.deepEqual(problemsOf(value), []);
  assert.deepEqual(problemsOf({}), []);
  assert.deepEqual(problemsOf({ networkConfig: 'network:\n  version: 1\n  config: []\n' }), []);
});

test('what it would ignore without a word is refused, with the reason', () => {
  for (const [value, problem] of [
    [{ instanceId: 'a b' }, /instanceId must be 1 to 64 letters/],
    [{ hostname: '-web' }, /hostname must be a host name/],
    [{ sshAuthorizedKeys: ['AAAAC3NzaC1lZDI1NTE5AAAAIPlZ3fYw'] }, /Keys\.0 must be a public key/],
    [{ sshAuthorizedKeys: [`${KEY}\nroot`] }, /control characters/],
    [{ sshAuthorizedKeys: ['-----BEGIN OPENSSH PRIVATE KEY-----'] }, /must be a public key/],
    [{ networkConfig: 'ethernets: {}\n' }, /networkConfig must be .*"version: 2"/],
    [{ networkConfig: 'version: 3\n' }, /"version: 2"/],
    [{ networkConfig: '' }, /"version: 2"/],
    [{ networkConfig: 'a: [b\n' }, /is no YAML: /],
    [{ networkConfig: `version: 2\n#${'x'.repeat(65_536)}` }, /at most 65536 bytes/],
    [{ password: 'x' }, /password/],
  ] as const) {
    assert.match(problemsOf(value).join(), problem);
  }
});
