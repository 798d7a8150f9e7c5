import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseConfig } from '../../../src/agent/config.ts';
import { AgentError } from '../../../src/core/errors.ts';

const MINIMAL = `
nodeName: a
advertise: 10.0.0.1:7443
tls: {certificate: /etc/novacron/tls.crt, key: /etc/novacron/tls.key, ca: /etc/novacron/ca.crt}
`;

function refusal(text: string): string {
  try {
    parseConfig(text, 'agent.yaml');
  } catch (error) {
    assert.ok(error instanceof AgentError);
    assert.equal(error.reason, 'INVALID_CONFIG');
    return error.message;
  }
  return assert.fail('it was accepted');
}

test('what is left out takes its default', () => {
  const config = parseConfig(MINIMAL, 'agent.yaml');
  assert.equal(config.socket, '/run/novacron/agent.sock');
  assert.equal(config.migration.lanes, 2);
  assert.equal(config.hypervisor.accelerator, 'auto');
});

test('an unknown key is refused with its path and the nearest known key', () => {
  assert.match(
    refusal(`${MINIMAL}\nmigration: {lane: 3}`),
    /migration\.lane: unknown key; did you mean migration\.lanes\?/,
  );
  assert.match(
    refusal(`${MINIMAL}\nloglevel: info`),
    /loglevel: unknown key; did you mean logLevel\?/,
  );
  assert.match(refusal(`${MINIMAL}\nfrobnicate: 1`), /frobnicate: unknown key$/);
});

test('a missing or wrong value is refused with its path', () => {
  assert.match(refusal('nodeName: a'), /advertise: /);
  assert.match(refusal(`${MINIMAL}\nlisten: localhost`), /listen: .*HOST:PORT/);
  assert.match(refusal(`${MINIMAL}\nmigration: {lanes: 99}`), /migration\.lanes: /);
  assert.match(refusal(`${MINIMAL}\nsocket: run/agent.sock`), /socket: must be an absolute path/);
});

test('ports of transfers must be a range', () => {
  assert.match(refusal(`${MINIMAL}\nmigration: {portMin: 50000, portMax: 49999}`), /portMax/);
});

test('a node may be named by digits, quoted or not', () => {
  for (const name of ['1001', '"1001"', '007', '1e3']) {
    const text = MINIMAL.replace(
      'nodeName: a',
      `nodeName: ${name}\npeers: {${name}: 10.0.0.2:7443}`,
    );
    const { nodeName, peers } = parseConfig(text, 'agent.yaml');
    assert.equal(nodeName, name.replaceAll('"', ''));
    assert.deepEqual(Object.keys(peers), [nodeName]);
  }
});

test('what is no YAML is refused in words', () => {
  assert.match(refusal('{'), /agent\.yaml is no YAML/);
});

test('the configuration cannot be changed afterwards', () => {
  assert.equal(Object.isFrozen(parseConfig(MINIMAL, 'agent.yaml')), true);
});
