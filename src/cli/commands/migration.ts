import type { Command } from 'commander';
import type { CliIo } from '../process/cli-io.ts';
import { addMigrationCancelCommand } from './migration/cancel.ts';
import { addMigrationGetCommand } from './migration/get.ts';
import { addMigrationListCommand } from './migration/list.ts';
import { addMigrationSettleCommand } from './migration/settle.ts';
import { addMigrationWatchCommand } from './migration/watch.ts';

export function addMigrationCommand(parent: Command, io: CliIo): Command {
  const migration = parent
    .command('migration')
    .description('Shows, watches, cancels and settles migrations. "novactl migrate" starts one.');
  addMigrationListCommand(migration, io);
  addMigrationGetCommand(migration, io);
  addMigrationWatchCommand(migration, io);
  addMigrationCancelCommand(migration, io);
  addMigrationSettleCommand(migration, io);
  return migration;
}
