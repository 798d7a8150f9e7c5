import { InvalidArgumentError } from 'commander';

/** Typed, it ends the session; undefined for none. */
export interface EscapeKey {
  readonly name: string;
  readonly byte: number | undefined;
}

export const DEFAULT_ESCAPE: EscapeKey = { name: '^]', byte: 0x1d };

/** A key with Ctrl as `^X`, or `none`. */
export function escapeKeyArgument(text: string): EscapeKey {
  if (text === 'none') return { name: text, byte: undefined };
  const key = /^\^([@-_a-z])$/.exec(text)?.[1]?.toUpperCase();
  if (key === undefined) {
    throw new InvalidArgumentError('It must be a key with Ctrl, such as ^] or ^A, or none.');
  }
  return { name: `^${key}`, byte: key.charCodeAt(0) & 0x1f };
}
