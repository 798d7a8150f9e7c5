import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseConfig } from '../../../src/core/agent-config.ts';

const config = parseConfig(
  'nodeName: a\nadvertise: 10.0.0.1:7443\ntls: {certificate: /c, key: /k, ca: /a}\nimages: {s3: {endpoint: "https://s3.example"}}',
  'agent.yaml',
);

function keysOf(value: object, prefix: string): string[] {
  return Object.entries(value).flatMap(([key, inner]) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner) && key !== 'peers'
      ? keysOf(inner as object, `${prefix}${key}.`)
      : [`${prefix}${key}`],
  );
}

test('docs/configuration.md has each key, and none that does not exist', () => {
  const table = readFileSync('docs/configuration.md', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  const documented = table.flatMap((line) =>
    [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map(([, key = '']) => key),
  );
  assert.deepEqual(documented.toSorted(), keysOf(config, '').toSorted());
});

test('docs/configuration.md gives the defaults that are true', () => {
  const text = readFileSync('docs/configuration.md', 'utf8');
  for (const [key, value] of [
    ['socket', config.socket],
    ['listen', config.listen],
    ['migration.lanes', config.migration.lanes],
    ['migration.maxDowntimeMs', config.migration.maxDowntimeMs],
    ['hypervisor.callTimeoutMs', config.hypervisor.callTimeoutMs],
    ['capacity.reservedMemoryBytes', config.capacity.reservedMemoryBytes],
  ] as const) {
    assert.ok(text.includes(`| \`${key}\` | \`${value}\` |`), key);
  }
});
