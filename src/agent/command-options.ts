/** What `novacron-agent` is given. Loaded before all that is large. */
export const COMMAND_OPTIONS = {
  config: { type: 'string' },
  check: { type: 'boolean' },
  version: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

/** Whether the words ask for something that needs no agent. */
export function isQuestion(words: readonly string[]): boolean {
  return words.some((word) => ['--check', '--version', '--help'].includes(word));
}
