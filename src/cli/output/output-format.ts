import { type Command, Option } from 'commander';

const OUTPUT_FORMATS = ['table', 'wide', 'json', 'yaml', 'name'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface OutputOptions {
  readonly output: OutputFormat;
}

export function addOutputOption(command: Command): Command {
  return command.addOption(
    new Option('-o, --output <format>', 'how to print it').choices(OUTPUT_FORMATS).default('table'),
  );
}

/** For commands whose answer is no resource. */
export function textOutputOption(): Option {
  const option = new Option('-o, --output <format>', 'how to print it');
  return option.choices(['text', 'json']).default('text');
}
