import { nextAgentStart } from '../../../src/agent/journal/agent-epoch.ts';
import { Journal } from '../../../src/agent/journal/journal.ts';
import { JOURNAL_SCHEMA } from '../../../src/agent/journal-schema.ts';
import { MigrationStore } from '../../../src/agent/migration/migration-store.ts';
import { createLogger } from '../../../src/core/logger.ts';
import { migrationRecord } from '../../unit/agent/migration/migration-record.ts';

// Records migrations for ever and says after each that it is recorded; killed by the test.
const [, , directory = ''] = process.argv;
const logger = createLogger('silent');
await using journal = await Journal.open(directory, { logger, schema: JOURNAL_SCHEMA });
const { epoch } = await nextAgentStart(journal.database, 'boot', Date.now());
const migrations = new MigrationStore(journal.database);
process.stdout.write(`epoch ${epoch}\n`);
for (let count = 0; ; count++) {
  const record = migrationRecord(`${epoch}-${count}`);
  await migrations.insert(record);
  await migrations.update({ ...record, phase: 'copying', message: `message of ${record.id}` });
  process.stdout.write(`done ${record.id}\n`);
}
