import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatReport, isSuccess, type MigrationReport } from '../../../lab/report.ts';

const GOOD: MigrationReport = {
  totalMs: 2_345,
  downtimeMs: 61,
  memoryBytes: 500 * 1024 ** 2,
  wireBytes: 200 * 1024 ** 2,
  iterations: 3,
  switchover: { gapMs: 83, lastAtSource: 530, firstAtDestination: 531, lost: 0, duplicated: 0 },
  isMemoryVerified: true,
};

test('a report says what the agent and what the guest saw', () => {
  const report = formatReport(GOOD);
  assert.match(report, /Total time +2\.3 s/);
  assert.match(report, /Silence of the guest at the switchover +83 ms/);
  assert.match(report, /On the wire, encrypted +200\.0 MiB \(2\.5 to 1\)/);
  assert.match(report, /none lost, none twice/);
  assert.match(report, /Memory checked by the guest +whole/);
  assert.equal(isSuccess(GOOD), true);
});

test('lost heartbeats and damaged memory are failures and stand out', () => {
  const lost = { ...GOOD, switchover: { ...GOOD.switchover, lost: 2 } };
  assert.match(formatReport(lost), /2 LOST/);
  assert.equal(isSuccess(lost), false);
  const damaged = { ...GOOD, isMemoryVerified: false };
  assert.match(formatReport(damaged), /DAMAGED/);
  assert.equal(isSuccess(damaged), false);
});
