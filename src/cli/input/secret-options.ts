import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import type { Secrets } from '../../client/vm-calls.ts';
import { AgentError } from '../../core/errors.ts';
import { whyUnreadable } from '../../core/file-words.ts';
import { isRecord } from '../../core/is-record.ts';
import { WHERE_SECRETS_ARE_NAMED } from '../../core/resources/named-secrets.ts';
import type { VmManifest } from './vm-manifest.ts';

export interface SecretOptions {
  /** Files by the names that manifests have for what is in them. */
  readonly secret?: Readonly<Record<string, string>>;
}

/** The option of commands that make VMs whose manifests name secrets, or that name one themselves. */
export function addSecretOption(
  command: Command,
  what = `a secret that a manifest names (in ${WHERE_SECRETS_ARE_NAMED}), in the place of that of the node; may be repeated`,
): Command {
  return command.option('--secret <name=file>', what, collect);

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
  const named = new Set(manifests.flatMap(secretsIn));
  for (const [name, file] of Object.entries(secret)) {
    if (!named.has(name)) {
      throw new AgentError(
        'INVALID_REQUEST',
        `Cannot use --secret ${name}: no manifest names it; name it in ${WHERE_SECRETS_ARE_NAMED}`,
      );
    }
    contents.set(name, await read(file));
  }
  return (manifest) =>
    Object.fromEntries(
      secretsIn(manifest).flatMap((name) => {
        const content = contents.get(name);
        return content === undefined ? [] : [[name, content]];
      }),
    );
}

/** The one that a command names; undefined if the options have none. Fails with INVALID_REQUEST if they have another. */
export async function readSecret(
  { secret = {} }: SecretOptions,
  name: string | undefined,
): Promise<Buffer | undefined> {
  const [other] = Object.keys(secret).filter((each) => each !== name);
  if (other !== undefined) {
    const message = `Cannot use --secret ${other}: nothing names it; name it with --auth ${other}`;
    throw new AgentError('INVALID_REQUEST', message);
  }
  const file = name === undefined ? undefined : secret[name];
  return file === undefined ? undefined : await read(file);
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
function secretsIn({ document }: VmManifest): readonly string[] {
  const machine = at(document, 'spec', 'template', 'spec');
  const volumes = at(machine, 'volumes');
  const named = [
    at(machine, 'cloudInit', 'passwordSecret'),
    at(machine, 'image', 'auth'),
    ...(Array.isArray(volumes) ? volumes : []).flatMap((volume) => [
      at(volume, 'source', 'image', 'auth'),
      at(volume, 'encryption', 'secret'),
    ]),
  ];
  return named.filter((name) => typeof name === 'string');
}

function at(value: unknown, ...keys: readonly string[]): unknown {
  return keys.reduce<unknown>((found, key) => (isRecord(found) ? found[key] : undefined), value);
}
