import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { DomainDocument } from '../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';

const DOMAIN = 'test/compatibility/version-1/domain.xml';

void test('a VM of version 1 is ours, whole and not newer', () => {
  const { definition, definitionText = '' } = DomainDocument.parse(readFileSync(DOMAIN, 'utf8'));
  assert.ok(definition);
  const { metadata, spec } = JSON.parse(definitionText);
  assert.equal(definition.newer, undefined);
  assert.partialDeepStrictEqual(definition, {
    namespace: 'default',
    name: 'web-1',
    uid: metadata.uid,
    generation: metadata.generation,
    labels: metadata.labels,
    annotations: metadata.annotations,
    createdAtMs: Date.parse(metadata.creationTimestamp),
    ownershipEpoch: 3,
    owner: '0d6d9b5e-4a0b-4c53-8f8c-0a2f3a1b5c01',
    intent: 'off',
    privateFiles: { 'user-data': 'ab'.repeat(32) },
    spec,
  });
});

void test('a fact of a VM of version 1 changes by itself', () => {
  const before = readFileSync(DOMAIN, 'utf8');
  const after = DomainDocument.parse(before).withFacts({ ownershipEpoch: 4 }).toString();
  assert.equal(after, before.replace("ownershipEpoch='3'", "ownershipEpoch='4'"));
});
