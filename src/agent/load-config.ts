import { readFile } from 'node:fs/promises';
import { type AgentConfig, parseConfig } from '../core/agent-config.ts';
import { AgentError } from '../core/errors.ts';
import { whyUnreadable } from '../core/file-words.ts';

/** Reads the file once, at start. Nothing else in the agent reads files or the environment for settings. */
export async function loadConfig(file: string): Promise<AgentConfig> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    const wayOn =
      'the package has one to begin with, /usr/share/novacron/agent.yaml, and docs/configuration.md says what may be in it; --config names another file';
    throw new AgentError(
      'INVALID_CONFIG',
      `Cannot read the configuration ${file}: ${whyUnreadable(error)}; ${wayOn}`,
      { cause: error },
    );
  }
  return parseConfig(text, file);
}
