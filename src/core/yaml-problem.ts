/** `listen: [::]:7443`, which YAML takes for a list with something behind it. */
const BARE_ADDRESS = /(?:^|[\s{,])([\w.-]+):[ \t]*(\[[0-9A-Fa-f:.%\w]+\]:\d{1,5})/m;
export const QUOTE_ADDRESS = 'an address with brackets must be in quotes';

/** Why a text is no YAML, in one line, and what to do where that can be told. */
export function yamlProblem(text: string, error: unknown): string {
  const why = (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
  const reason = why.replace(/:$/, '');
  const [, key, address] = BARE_ADDRESS.exec(text) ?? [];
  if (key === undefined) return reason;
  return `${reason}; ${QUOTE_ADDRESS}: ${key}: "${address}"`;
}
