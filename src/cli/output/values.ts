/** A value of a manifest, as people read it. */
export function valueText(value: unknown): string {
  if (value === undefined) return 'not set';
  return typeof value === 'string' && value !== '' ? value : JSON.stringify(value);
}
