import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { AgentTarget } from '../../client/target.ts';
import { AgentError } from '../../core/errors.ts';
import { codeOf, whyUnreadable } from '../../core/file-words.ts';
import type { Contexts } from './contexts-file.ts';

const DEFAULT_ADDRESS = 'unix:/run/novacron/agent.sock';
const DEFAULT_CONTEXTS_FILE = '/etc/novacron/novactl.yaml';

/** What the command line says about the agent to talk to. */
export interface TargetChoice {
  /** Context to take. */
  readonly node?: string | undefined;
  readonly address?: string | undefined;
  /** Contexts file; without it NOVACTL_CONFIG, then the default file, which may be missing. */
  readonly config?: string | undefined;
}

export async function resolveTarget(
  choice: TargetChoice,
  env: Readonly<Record<string, string | undefined>>,
): Promise<AgentTarget> {
  const file = choice.config ?? env['NOVACTL_CONFIG'];
  const contexts = await readContexts(file);
  return chooseTarget(choice, contexts, file ?? DEFAULT_CONTEXTS_FILE);
}

/** `--node` takes its context, `--address` overrides its address; else the current context, else the unix socket. */
export function chooseTarget(choice: TargetChoice, contexts: Contexts, file: string): AgentTarget {
  const name = choice.node ?? contexts.current;
  const isThere = name !== undefined && Object.hasOwn(contexts.contexts, name);
  const context = isThere ? contexts.contexts[name] : undefined;
  if (name !== undefined && context === undefined) {
    const known = Object.keys(contexts.contexts).join(', ') || 'none';
    throw new AgentError(
      'INVALID_CONFIG',
      `There is no context ${name} in ${file}; it has: ${known}`,
    );
  }
  if (choice.address === undefined) return context ?? { address: DEFAULT_ADDRESS };
  return {
    address: choice.address,
    tls: context?.tls,
    // The current context may be another node than the one at the address.
    nodeName: choice.node === undefined ? undefined : context?.nodeName,
  };
}

export async function readContexts(file: string | undefined): Promise<Contexts> {
  let content: string;
  try {
    // Mostly there is none: to ask one of Node's threads takes longer than all else that is done here.
    content =
      file === undefined
        ? readFileSync(DEFAULT_CONTEXTS_FILE, 'utf8')
        : await readFile(file, 'utf8');
  } catch (error) {
    const code = codeOf(error);
    if (file === undefined && code === 'ENOENT') return { contexts: {} };
    const named = file ?? DEFAULT_CONTEXTS_FILE;
    const why = whyUnreadable(error);
    throw new AgentError('INVALID_CONFIG', `Cannot read the contexts file ${named}: ${why}`, {
      cause: error,
    });
  }
  const { parseContexts } = await import('./contexts-file.ts');
  return parseContexts(content, file ?? DEFAULT_CONTEXTS_FILE);
}
