import { writeFile } from 'node:fs/promises';
import { getSystemErrorMessage } from 'node:util';
import type { Command } from 'commander';
import { AgentError } from '../../../core/errors.ts';
import { addConnectionOptions, withAgent } from '../../connection/agent-connection.ts';
import { addNamespaceOption, type NamespaceOptions, vmRef, vmWords } from '../../input/vm-ref.ts';
import type { CliIo } from '../../process/cli-io.ts';

interface ScreenshotOptions extends NamespaceOptions {
  readonly file?: string;
}

export function addVmScreenshotCommand(parent: Command, io: CliIo): void {
  const command = parent
    .command('screenshot')
    .summary('take a picture of the screen of a VM')
    .description(
      'Writes what is on the screen of a VM that runs to a file as PNG: NAME.png in the present folder unless another is named. A VM ' +
        'has a screen if its manifest has display below spec.template.spec.',
    )
    .argument('<vm>', 'NAME or NAMESPACE/NAME')
    .option(
      '-f, --file <file>',
      'file to be written, in the place of one that is there; - is standard output',
    );
  addNamespaceOption(command);
  addConnectionOptions(command).addHelpText(
    'after',
    `
Examples:
  novactl vm screenshot web
  novactl vm screenshot web --file - | display
`,
  );
  command.action(async (name: string, options: ScreenshotOptions) => {
    const ref = vmRef(name, options);
    const { file = `${ref.name}.png` } = options;
    await withAgent(io, command, async (client, call) => {
      const { png, width, height } = await client.consoles.getScreenshot(ref, call);
      if (file === '-') {
        io.stdout.write(png);
        return;
      }
      try {
        await writeFile(file, png, { mode: 0o600 });
      } catch (error) {
        const { errno = 0 } = error as NodeJS.ErrnoException;
        const why = getSystemErrorMessage(errno);
        throw new AgentError('INVALID_REQUEST', `Cannot write ${file}: ${why}`, { cause: error });
      }
      io.stdout.write(
        `The screen of VM ${vmWords(ref)} is in ${file}, ${width} by ${height} points\n`,
      );
    });
  });
}
