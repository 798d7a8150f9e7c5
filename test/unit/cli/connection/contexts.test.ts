import assert from 'node:assert/strict';
import { test } from 'node:test';
import { chooseTarget } from '../../../../src/cli/connection/contexts.ts';
import { parseContexts } from '../../../../src/cli/connection/contexts-file.ts';

const TLS = { certificate: '/c', key: '/k', ca: '/ca' };
const CONTEXTS = parseContexts(
  `contexts:
  a: {address: 'unix:/run/a.sock'}
  b: {address: 'b.example:7443', nodeName: b, tls: {certificate: /c, key: /k, ca: /ca}}
current: b
`,
  'novactl.yaml',
);
const FILE = 'novactl.yaml';

test('without contexts and options the unix socket is taken', () => {
  const target = chooseTarget({}, parseContexts('', FILE), FILE);
  assert.deepEqual(target, { address: 'unix:/run/novacron/agent.sock' });
});

test('the current context is taken when none is named', () => {
  assert.deepEqual(chooseTarget({}, CONTEXTS, FILE), {
    address: 'b.example:7443',
    nodeName: 'b',
    tls: TLS,
  });
});

test('a named context is taken', () => {
  assert.deepEqual(chooseTarget({ node: 'a' }, CONTEXTS, FILE), { address: 'unix:/run/a.sock' });
});

test('an address overrides that of the named context, whose identity is still demanded', () => {
  const target = chooseTarget({ node: 'b', address: '10.0.0.2:7443' }, CONTEXTS, FILE);
  assert.deepEqual(target, { address: '10.0.0.2:7443', nodeName: 'b', tls: TLS });
});

test('an address alone borrows the certificate of the current context but not its identity', () => {
  const target = chooseTarget({ address: '10.0.0.9:7443' }, CONTEXTS, FILE);
  assert.deepEqual(target, { address: '10.0.0.9:7443', nodeName: undefined, tls: TLS });
});

test('a context that is not there is refused with those that are', () => {
  assert.throws(() => chooseTarget({ node: 'c' }, CONTEXTS, FILE), {
    reason: 'INVALID_CONFIG',
    message: 'There is no context c in novactl.yaml; it has: a, b',
  });
});

test('a mistyped key is refused with the nearest one', () => {
  assert.throws(() => parseContexts('contexts: {a: {adress: "unix:/x"}}', FILE), {
    message: /contexts\.a\.adress: unknown key; did you mean address\?/,
  });
});

test('an address that cannot be one is refused', () => {
  assert.throws(() => parseContexts('contexts: {a: {address: somewhere}}', FILE), {
    message: /contexts\.a\.address: must be unix:\/PATH or HOST:PORT/,
  });
});

test('a node named by digits is text, quoted or not', () => {
  for (const name of ['1001', '007', '1e3', '0x10', 'true', '"1001"', '1.50']) {
    const file = `contexts: {${name}: {address: 'x:7443', nodeName: ${name}, tls: {certificate: /c, key: /k, ca: /ca}}}\ncurrent: ${name}\n`;
    const contexts = parseContexts(file, FILE);
    const text = name.replaceAll('"', '');
    assert.equal(contexts.current, text);
    assert.equal(chooseTarget({ node: text }, contexts, FILE).nodeName, text);
  }
});

test('a context is none for what every object has', () => {
  for (const node of ['constructor', 'toString', '__proto__']) {
    assert.throws(() => chooseTarget({ node }, CONTEXTS, FILE), { reason: 'INVALID_CONFIG' });
  }
});
