import assert from 'node:assert/strict';
import { test } from 'node:test';
import { migrationNotes, tellableOf } from '../../../../src/agent/events/migration-notes.ts';
import type { Migration } from '../../../../src/agent/migration/migration.ts';
import { makeMigration } from '../../../fakes/fake-migration-service.ts';

const PHASES = [
  { phase: 'preparing', startedAtMs: 1_000 },
  { phase: 'copying', startedAtMs: 2_000 },
] as const;

function migration(changes: Partial<Migration>): Migration {
  return { ...makeMigration(), startedAtMs: 1_000, phases: PHASES, phase: 'copying', ...changes };
}

const words = (one: Migration, told: 0 | 1 = 1) =>
  migrationNotes(one, told).map(({ reason, cause = '' }) => `${reason} ${cause}`);

test('both sides tell that a migration has begun, and that it has brought the VM there', () => {
  for (const [role, side] of [
    ['source', 'Outgoing'],
    ['destination', 'Incoming'],
  ] as const) {
    assert.deepEqual(words(migration({ role }), 0), [`MigrationBegan ${side}`]);
    const over = migration({ role, phase: 'completed', endedAtMs: 9_000 });
    assert.deepEqual(words(over), [`MigrationSucceeded ${side}`]);
    assert.deepEqual(words(over, 0), [`MigrationBegan ${side}`, `MigrationSucceeded ${side}`]);
    assert.deepEqual(
      migrationNotes(over, 0).map(({ atMs }) => atMs),
      [1_000, 9_000],
    );
    assert.equal(tellableOf(over), 2);
  }
});

test('why a migration has failed is told, and where the VM is', () => {
  const failed = migration({
    role: 'source',
    phase: 'failed',
    reason: 'MIGRATION_TIMEOUT',
    message: 'It took too long',
  });
  assert.deepEqual(words(failed), ['MigrationFailed MigrationTimeout']);
  const [note] = migrationNotes(failed, 1);
  assert.match(note?.message ?? '', /has failed, it stays here: It took too long$/);
  assert.equal(note?.migrationId, failed.id);
  const cancelled = migration({ role: 'source', phase: 'cancelled' });
  assert.deepEqual(words(cancelled), ['MigrationCancelled Outgoing']);
});

test('nothing is told of what goes on, nor of the promise that a migration never begins', () => {
  assert.deepEqual(words(migration({})), []);
  const promise = migration({
    phase: 'cancelled',
    phases: [{ phase: 'cancelled', startedAtMs: 1_000 }],
  });
  assert.deepEqual(words(promise, 0), []);
});
