import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Secrets } from '../../client/vm-calls.ts';
import { AgentError } from '../../core/errors.ts';
import { whyUnreadable } from '../../core/file-words.ts';
import { isRecord } from '../../core/is-record.ts';
import type { VmManifest } from './vm-manifest.ts';

export interface SecretOptions {
  /** Files by the names that manifests have for what is in them. */
  readonly secret?: Readonly<Record<string, string>>;
}

/** The option of commands that make VMs whose manifests name secrets. */
export function addSecretOption(command: Command): Command {
  return command.option(
    '--secret <name=file>',
    'a secret that a manifest names (cloudInit.passwordSecret), in the place of that of the node; may be repeated',
    collect,
  );

  function collect(text: string, before: Readonly<Record<string, string>> = {}) {
    const [, name, file] = /^([^=]+)=(.+)$/s.exec(text) ?? [];
    if (name === undefined || file === undefined) {
      return command.error(`error: --secret is NAME=FILE, not ${JSON.stringify(text)}`);
    }
    return { ...before, [name]: file };
  }
}

/** Reads what the options name; gives each manifest those that it names. Fails with INVALID_REQUEST if none names one. */
export async function readSecrets(
  { secret = {} }: SecretOptions,
  manifests: readonly VmManifest[],
): Promise<(manifest: VmManifest) => Secrets> {
  const contents = new Map<string, Buffer>();
  const named = new Set(manifests.map(secretOf));
  for (const [name, file] of Object.entries(secret)) {
    if (!named.has(name)) {
      throw new AgentError(
        'INVALID_REQUEST',
        `Cannot use --secret ${name}: no manifest names it; name it in spec.template.spec.cloudInit.passwordSecret`,
      );
    }
    contents.set(name, await read(file));
  }
  return (manifest) => {
    const name = secretOf(manifest);
    const content = name === undefined ? undefined : contents.get(name);
    return name === undefined || content === undefined ? {} : { [name]: content };
  };
}

async function read(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    throw new AgentError(
      'INVALID_REQUEST',
      `Cannot read the secret in ${file}: ${whyUnreadable(error)}`,
      { cause: error },
    );
  }
}

/** Of a manifest that is not checked yet. */
function secretOf({ document }: VmManifest): string | undefined {
  let at: unknown = document;
  for (const key of ['spec', 'template', 'spec', 'cloudInit', 'passwordSecret']) {
    at = isRecord(at) ? at[key] : undefined;
  }
  return typeof at === 'string' ? at : undefined;
}
