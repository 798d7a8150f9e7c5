/** How a registry wants to be shown who asks. */
export type Challenge =
  | { readonly scheme: 'basic' }
  | {
      readonly scheme: 'bearer';
      /** Where tokens are given out. */
      readonly realm: string;
      readonly service: string | undefined;
      readonly scope: string | undefined;
    };

const SCHEME = /(?:^|,)\s*(basic|bearer)(?=\s|,|$)/gi;

/** The first of what a `WWW-Authenticate` offers that is known; undefined for none. A token is taken before a password. */
export function parseChallenge(header: string): Challenge | undefined {
  const starts = [...header.matchAll(SCHEME)];
  let basic: Challenge | undefined;
  for (const [index, { 0: text, 1: scheme, index: at }] of starts.entries()) {
    if (scheme?.toLowerCase() === 'basic') {
      basic = { scheme: 'basic' };
      continue;
    }
    const parameters = header.slice(at + text.length, starts[index + 1]?.index);
    const realm = parameterOf(parameters, 'realm');
    if (realm === undefined) continue;
    const [service, scope] = ['service', 'scope'].map((name) => parameterOf(parameters, name));
    return { scheme: 'bearer', realm, service, scope };
  }
  return basic;
}

function parameterOf(parameters: string, name: string): string | undefined {
  const found = new RegExp(String.raw`(?:^|[\s,])${name}\s*=\s*(?:"([^"]*)"|([^\s",]+))`, 'i');
  const [, quoted, plain] = found.exec(parameters) ?? [];
  return quoted ?? plain;
}
