import type { Command } from 'commander';
import type { CliIo } from '../process/cli-io.ts';
import { addPkiInitCommand } from './pki/init.ts';
import { addPkiIssueCommand } from './pki/issue.ts';

export function addPkiCommand(parent: Command, io: CliIo): Command {
  const pki = parent
    .command('pki')
    .description(
      'Makes a CA and what it issues: certificates of nodes, and of those who call their agents. Asks no agent; needs openssl.',
    );
  addPkiInitCommand(pki, io);
  addPkiIssueCommand(pki, io);
  return pki;
}
