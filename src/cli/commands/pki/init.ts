import type { Command } from 'commander';
import { DEFAULT_AUTHORITY } from '../../pki/authority.ts';
import type { CliIo } from '../../process/cli-io.ts';

export function addPkiInitCommand(parent: Command, io: CliIo): void {
  parent
    .command('init')
    .summary('make a CA')
    .description(
      'Makes a CA for all nodes, good for ten years: ca.crt and ca.key. The key stays where it is made, for root only; whoever has ' +
        'it can be any node and any operator. One that is there is never replaced.',
    )
    .option('--dir <dir>', 'folder of the CA', DEFAULT_AUTHORITY)
    .addHelpText(
      'after',
      `
Examples:
  novactl pki init
  novactl pki init --dir /root/novacron-ca
`,
    )
    .action(async ({ dir }: { readonly dir: string }) => {
      const { createAuthority } = await import('../../pki/authority.ts');
      const certificate = await createAuthority(dir, io.signal);
      const chosen = dir === DEFAULT_AUTHORITY ? '' : ` --dir ${dir}`;
      io.stdout.write(`Made the CA ${certificate}; its key stays beside it, for root only
Next: novactl pki issue node NAME --address ADDRESS --out DIR${chosen}
`);
    });
}
