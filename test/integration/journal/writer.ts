import { Journal } from '../../../src/agent/journal/journal.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { migrationRecord } from '../../unit/agent/journal/migration-record.ts';

// Records migrations for ever and says after each that it is recorded; killed by the test.
const [, , directory = ''] = process.argv;
const journal = Journal.open(directory, { logger: createLogger('silent') });
const { epoch } = journal.epochs.nextEpoch('boot');
process.stdout.write(`epoch ${epoch}\n`);
for (let count = 0; ; count++) {
  const id = `${epoch}-${count}`;
  journal.migrations.insert(migrationRecord(id));
  journal.migrations.update(id, { phase: 'copying', message: `message of ${id}` });
  process.stdout.write(`done ${id}\n`);
}
