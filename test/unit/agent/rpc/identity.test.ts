import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { identifyCertificate } from '../../../../src/agent/rpc/identity.ts';
import { parseSubjectAltNames } from '../../../../src/agent/rpc/subject-alt-names.ts';
import { hasReason } from '../../../../src/core/errors.ts';

const fixture = (name: string) =>
  new X509Certificate(readFileSync(`test/fixtures/rpc/${name}.pem`));

function identify(subjectAltName: string | undefined) {
  const validToDate = new Date(5);
  return identifyCertificate({ subjectAltName, validToDate } as X509Certificate);
}

test('a node certificate makes a peer with that name', () => {
  assert.deepEqual(
    identify('DNS:node-a, URI:spiffe://novacron/node/node-a.example, IP Address:10.0.0.1'),
    {
      role: 'peer',
      identity: 'spiffe://novacron/node/node-a.example',
      nodeName: 'node-a.example',
      expiresAtMs: 5,
    },
  );
});

for (const role of ['controller', 'operator', 'viewer']) {
  test(`a role certificate makes a ${role}`, () => {
    assert.equal(identify(`URI:spiffe://novacron/role/${role}`).role, role);
  });
}

test('names of others beside ours do not matter', () => {
  const names =
    'URI:spiffe://cluster.local/ns/a/sa/b, URI:spiffe://novacron/role/viewer, URI:https://a';
  assert.equal(identify(names).role, 'viewer');
});

for (const [title, names] of [
  ['no names at all', undefined],
  ['an empty text', ''],
  [
    'only names of others',
    'URI:spiffe://novacron.evil/role/operator, DNS:spiffe://novacron/role/operator',
  ],
  ['two of ours', 'URI:spiffe://novacron/role/viewer, URI:spiffe://novacron/node/a'],
  ['the same twice', 'URI:spiffe://novacron/role/viewer, URI:spiffe://novacron/role/viewer'],
  [
    'one of ours and one that is nearly ours',
    'URI:spiffe://novacron/role/viewer, URI:SPIFFE://novacron/x',
  ],
  ['a role that does not exist', 'URI:spiffe://novacron/role/peer'],
  ['a role with something behind it', 'URI:spiffe://novacron/role/operator/x'],
  ['a role with a line end', 'URI:"spiffe://novacron/role/operator\\u000a"'],
  ['a node without a name', 'URI:spiffe://novacron/node/'],
  ['a node with a path', 'URI:spiffe://novacron/node/a/b'],
  ['a node in capitals', 'URI:spiffe://novacron/node/A'],
  ['a node with a port', 'URI:spiffe://novacron:1/node/a'],
  ['a text of another shape', 'URI:spiffe://novacron/role/operator,DNS:a'],
  ['an open quote', 'URI:"spiffe://novacron/role/operator'],
  ['something behind a quote', 'URI:"a"URI:spiffe://novacron/role/operator'],
  ['a comma at the end', 'URI:spiffe://novacron/role/operator, '],
] as const) {
  test(`${title} gives no identity`, () => {
    assert.throws(
      () => identify(names),
      (error) => hasReason(error, 'UNAUTHENTICATED'),
    );
  });
}

test('a name within a name is not taken for one of its own', () => {
  const certificate = fixture('names-in-names');
  assert.match(certificate.subjectAltName ?? '', /URI:spiffe:\/\/novacron\/role\/operator/);
  assert.throws(
    () => identifyCertificate(certificate),
    (error) => hasReason(error, 'UNAUTHENTICATED'),
  );
});

test('a hostile name beside a good one does not change who it is', () => {
  const caller = identifyCertificate(fixture('node-beside-hostile-name'));
  assert.deepEqual([caller.role, caller.nodeName], ['peer', 'node-a']);
});

test('a quoted value is one name whatever is in it', () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      const quoted = JSON.stringify(value);
      assert.deepEqual(parseSubjectAltNames(`URI:${quoted}, DNS:a`), [
        { type: 'URI', value },
        { type: 'DNS', value: 'a' },
      ]);
    }),
  );
});

test('no text makes the parser throw', () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom('"', '\\', ',', ' ', ':', 'URI', 'a', '\n') }),
      (text) => {
        const names = parseSubjectAltNames(text);
        assert.ok(names === undefined || Array.isArray(names));
      },
    ),
  );
});
