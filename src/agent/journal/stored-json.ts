const BIGINT = '$bigint';
const UNDEFINED = '$undefined';

/**
 * JSON that gives back exactly what was put in: also bigints, and properties that are undefined, so that a
 * stored object compares equal to the one that was stored.
 */
export function toStoredJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part === 'bigint') return { [BIGINT]: part.toString() };
    return part === undefined ? { [UNDEFINED]: true } : part;
  });
}

export function fromStoredJson(text: string): unknown {
  return revive(JSON.parse(text));
}

function revive(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(revive);
  if (typeof value !== 'object' || value === null) return value;
  if (BIGINT in value && typeof value[BIGINT] === 'string') return BigInt(value[BIGINT]);
  if (UNDEFINED in value) return undefined;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, revive(part)]));
}
