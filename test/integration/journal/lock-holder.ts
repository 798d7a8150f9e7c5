import { once } from 'node:events';
import { DatabaseSync } from 'node:sqlite';

// Holds the lock of a journal, as somebody does who writes to it by hand, until its standard input ends.
const [, , file = ''] = process.argv;
using journal = new DatabaseSync(file);
journal.exec('BEGIN IMMEDIATE');
process.stdout.write('locked\n');
process.stdin.resume();
await once(process.stdin, 'end');
journal.exec('ROLLBACK');
