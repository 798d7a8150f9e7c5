import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatReport, isSuccess, type MigrationReport } from '../../../../lab/migration/report.ts';

const GOOD: MigrationReport = {
  totalMs: 2_345,
  downtimeMs: 61,
  memoryBytes: 500n * 1024n ** 2n,
  wireBytes: 200n * 1024n ** 2n,
  iterations: 3,
  switchover: { gapMs: 83, lastAtSource: 530, firstAtDestination: 531, lost: 0, duplicated: 0 },
  memory: 'verified',
  disk: 'verified',
};

test('a report says what the agent and what the guest saw', () => {
  const report = formatReport(GOOD);
  assert.match(report, /Total time +2\.3s/);
  assert.match(report, /Downtime, as libvirt counts it +61ms/);
  assert.match(report, /Downtime, in the guest's own counter +83ms/);
  assert.match(report, /Memory moved +500Mi in 3 passes/);
  assert.match(report, /Bytes on the wire, encrypted +200Mi/);
  assert.match(report, /Ratio +2\.50 to 1/);
  assert.match(report, /none lost, none twice/);
  assert.match(report, /memory verified, disk verified$/);
  assert.equal(isSuccess(GOOD), true);
});

test('lost heartbeats, damaged memory and a damaged disk are failures and stand out', () => {
  const lost = { ...GOOD, switchover: { ...GOOD.switchover, lost: 2 } };
  assert.match(formatReport(lost), /2 LOST/);
  assert.equal(isSuccess(lost), false);
  const damaged: MigrationReport = { ...GOOD, memory: 'damaged' };
  assert.match(formatReport(damaged), /MEMORY DAMAGED/);
  assert.equal(isSuccess(damaged), false);
  const disk: MigrationReport = { ...GOOD, disk: 'damaged' };
  assert.match(formatReport(disk), /memory verified, DISK DAMAGED/);
  assert.equal(isSuccess(disk), false);
});

test('memory that was not checked to the end is not called verified', () => {
  const unknown: MigrationReport = { ...GOOD, memory: 'not verified' };
  assert.match(formatReport(unknown), /not verified/);
  assert.doesNotMatch(formatReport(unknown), /memory verified/);
  assert.equal(isSuccess(unknown), false);
  assert.equal(isSuccess({ ...GOOD, disk: 'not verified' }), false);
});
