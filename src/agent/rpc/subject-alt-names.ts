export interface SubjectAltName {
  readonly type: string;
  readonly value: string;
}

/**
 * Reads the text that Node makes of a certificate's subject alternative names, such as
 * `DNS:a, URI:spiffe://b/c, URI:"odd\u002c one"`. Since CVE-2021-44532 a value that could be mistaken for
 * more than one name is written as a JSON string. Undefined when the text has any other shape: it then
 * must not be trusted at all.
 */
export function parseSubjectAltNames(text: string): readonly SubjectAltName[] | undefined {
  const names: SubjectAltName[] = [];
  let rest = text;
  while (rest !== '') {
    const type = /^([A-Za-z][A-Za-z0-9 ]{0,31}):/.exec(rest)?.[1];
    if (type === undefined) return undefined;
    rest = rest.slice(type.length + 1);

    const written = (rest.startsWith('"') ? QUOTED : PLAIN).exec(rest)?.[0];
    const value = written?.startsWith('"') === true ? unquote(written) : written;
    if (written === undefined || value === undefined) return undefined;
    names.push({ type, value });
    rest = rest.slice(written.length);

    if (rest === '') break;
    // A separator must be followed by another name.
    if (!rest.startsWith(', ') || rest.length === 2) return undefined;
    rest = rest.slice(2);
  }
  return names;
}

const QUOTED = /^"(?:[^"\\]|\\.)*"/s;
const PLAIN = /^[^",\\\p{Cc}]*/u;

function unquote(text: string): string | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
