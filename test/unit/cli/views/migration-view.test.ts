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
