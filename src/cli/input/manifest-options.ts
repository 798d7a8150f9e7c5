import type { Command } from 'commander';
import type { NamespaceOptions } from './vm-ref.ts';

/** Where manifests are read from. */
export interface ManifestOptions extends NamespaceOptions {
  /** Files and folders; `-` is standard input. */
  readonly filename: readonly string[];
  readonly recursive?: boolean;
}

/** The options of commands that read manifests; `isRequired` where nothing else can name a VM. */
export function addManifestOptions(
  command: Command,
  { isRequired }: { readonly isRequired: boolean },
): Command {
  const flags = '-f, --filename <path>';
  const description =
    'a YAML or JSON file, or a folder of *.yaml, *.yml and *.json; - is standard input; may be repeated';
  if (isRequired) command.requiredOption(flags, description, collect);
  else command.option(flags, description, collect);
  return command.option('-R, --recursive', 'look into the folders of a folder as well');
}

function collect(path: string, before: readonly string[] = []): readonly string[] {
  return [...before, path];
}
