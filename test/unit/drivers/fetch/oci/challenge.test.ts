import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseChallenge } from '../../../../../src/drivers/fetch/oci/challenge.ts';

const BEARER = {
  scheme: 'bearer',
  realm: 'https://auth.example/token',
  service: 'registry.example',
  scope: 'repository:web:pull,push',
} as const;

test('how a registry wants to be shown who asks is read as it says it', () => {
  const parameters = `realm="${BEARER.realm}",service="${BEARER.service}",scope="${BEARER.scope}"`;
  for (const header of [
    `Bearer ${parameters}`,
    `bearer  ${parameters},error="invalid_token"`,
    `Basic realm="x", Bearer ${parameters}`,
    `Negotiate, Bearer ${parameters}, Basic realm="x"`,
  ]) {
    assert.deepEqual(parseChallenge(header), BEARER, header);
  }
  assert.deepEqual(parseChallenge('Bearer realm=https://auth.example/token'), {
    ...BEARER,
    service: undefined,
    scope: undefined,
  });
  assert.deepEqual(parseChallenge('Basic realm="images"'), { scheme: 'basic' });
});

test('what is asked for in a way that is not known is nothing', () => {
  for (const header of [
    '',
    'Negotiate',
    'Bearer service="x"',
    'Digest realm="Basic"',
    ','.repeat(9999),
  ]) {
    assert.equal(parseChallenge(header), undefined, header.slice(0, 40));
  }
});
