import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrationView } from '../../../../src/cli/views/migration-view.ts';
import { Migration, MigrationMode, MigrationPhase } from '../../../../src/client/api.ts';

test('a migration becomes a document that JSON can hold, limits as written', () => {
  const document = migrationView(0).document(
    Migration.create({
      id: '6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11',
      labels: { plan: 'friday' },
      spec: { limits: { bandwidth: '1Gbps', timeout: { seconds: 600n } } },
      status: {
        phase: MigrationPhase.MIGRATION_PHASE_COPYING,
        mode: MigrationMode.MIGRATION_MODE_PRE_COPY,
        progress: { wireBytes: 7n, channels: [{ name: 'root', totalBytes: 2n ** 40n }] },
      },
    }),
  );
  const { labels, spec, status } = JSON.parse(JSON.stringify(document));
  assert.deepEqual(labels, { plan: 'friday' });
  assert.deepEqual(spec.limits, { bandwidth: '1Gbps', timeout: '600s' });
  assert.deepEqual([status.phase, status.mode], ['Copying', 'PreCopy']);
  assert.equal(status.progress.channels[0].totalBytes, 2 ** 40);
});

const cell = (
  header: string,
  status: NonNullable<Parameters<typeof Migration.create>[0]>['status'],
) =>
  migrationView(0)
    .columns.find((column) => column.header === header)
    ?.value(Migration.create({ status }));

test('what is not known of a migration is shown as unknown, and not as 0', () => {
  const startTime = { seconds: 1n };
  const endTime = { seconds: 3_601n };
  const progress = { unknown: ['fraction_done', 'wire_bytes'] };
  const status = { startTime, endTime, progress, result: { unknown: ['total_time', 'downtime'] } };
  const shown = ['DONE', 'WIRE', 'TOOK', 'DOWNTIME'].map((header) => cell(header, status));
  assert.deepEqual(shown, ['unknown', 'unknown', 'unknown', 'unknown']);
  const { status: document } = JSON.parse(
    JSON.stringify(migrationView(0).document(Migration.create({ status }))),
  );
  assert.deepEqual(document.result, {
    memoryProcessedBytes: 0,
    wireBytes: 0,
    iterations: 0,
    reconnects: 0,
    unknown: ['totalTime', 'downtime'],
  });
  assert.equal(document.progress.fractionDone, undefined);
});

test('what is known is shown, 0 too', () => {
  const progress = { fractionDone: 0.5, wireBytes: 0n };
  const result = { totalTime: { seconds: 2n }, downtime: { seconds: 0n } };
  const status = { startTime: { seconds: 1n }, endTime: { seconds: 9n }, progress, result };
  const shown = ['DONE', 'WIRE', 'TOOK', 'DOWNTIME'].map((header) => cell(header, status));
  assert.deepEqual(shown, ['50%', '0B', '2s', '0ms']);
  assert.equal(cell('TOOK', { ...status, result: undefined }), '8s');
});
