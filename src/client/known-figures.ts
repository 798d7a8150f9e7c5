type Figures = { readonly unknown: readonly string[] | undefined };

/** The figures of a message that names those that are not known, of which a number of proto3 cannot be missing. */
export type KnownFigures<T extends Figures> = {
  readonly [Name in Exclude<keyof T, 'unknown'>]: T[Name] | undefined;
};

/** What is known; a figure that is not is undefined, whatever the message holds in its place. */
export function knownFigures<T extends Figures>({ unknown = [], ...figures }: T): KnownFigures<T> {
  const known = Object.entries(figures).map(([name, value]) => [
    name,
    unknown.includes(fieldPath(name)) ? undefined : value,
  ]);
  return Object.fromEntries(known) as KnownFigures<T>;
}

/** The name of a field as its proto has it: `wire_bytes` for `wireBytes`. */
export function fieldPath(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
