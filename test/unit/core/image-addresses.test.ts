import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseOciReference } from '../../../src/core/oci-reference.ts';
import { parseS3Location } from '../../../src/core/s3-location.ts';

const DIGEST = `sha256:${'ab'.repeat(32)}`;

test('an image in a registry is named by a tag, a digest or both, and is the latest without', () => {
  const registry = 'registry.example:5000';
  const repository = 'vms/debian__12-x';
  const whole = `oci://${registry}/${repository}`;
  const found = (rest: string) => {
    const { tag, digest, ...others } = parseOciReference(`${whole}${rest}`) ?? {};
    assert.deepEqual(others, { registry, repository });
    return [tag, digest];
  };
  assert.deepEqual(found(''), ['latest', undefined]);
  assert.deepEqual(found(':v1.0_x'), ['v1.0_x', undefined]);
  assert.deepEqual(found(`@${DIGEST}`), [undefined, DIGEST]);
  assert.deepEqual(found(`:v1@${DIGEST}`), ['v1', DIGEST]);
});

test('a registry may be an address', () => {
  assert.equal(parseOciReference('oci://10.0.0.1:5000/web')?.registry, '10.0.0.1:5000');
  assert.equal(parseOciReference('oci://[fd00::1]:5000/web')?.registry, '[fd00::1]:5000');
});

test('what names no image in a registry is none', () => {
  for (const source of [
    'oci://web',
    'oci:///web',
    'oci://registry.example/',
    'oci://registry.example/web:',
    'oci://registry.example/../web',
    'oci://registry.example/Web',
    'oci://registry.example/web?x=y',
    'oci://registry.example/web@sha256:ab',
    `oci://registry.example/web@${DIGEST}/x`,
    'oci://user:secret@registry.example/web',
    `oci://registry.example/${'a'.repeat(256)}`,
    'https://registry.example/web',
  ]) {
    assert.equal(parseOciReference(source), undefined, source);
  }
});

test('an object in S3 has a bucket, and a key that leads nowhere else', () => {
  assert.deepEqual(parseS3Location('s3://my.bucket/a/b+c?d#e'), {
    bucket: 'my.bucket',
    key: 'a/b+c?d#e',
  });
  for (const source of [
    's3://bucket',
    's3://bucket/',
    's3://b/key',
    's3://Bucket/key',
    's3://buc..ket/key',
    's3://bucket/../other/key',
    's3://bucket/a//b',
    's3://bucket/./a',
    's3://bucket/a b',
  ]) {
    assert.equal(parseS3Location(source), undefined, source);
  }
});
