const UNITS: Readonly<Record<string, bigint>> = {
  '': 1n,
  k: 1000n,
  K: 1000n,
  M: 1000n ** 2n,
  G: 1000n ** 3n,
  T: 1000n ** 4n,
  P: 1000n ** 5n,
  Ki: 1024n,
  Mi: 1024n ** 2n,
  Gi: 1024n ** 3n,
  Ti: 1024n ** 4n,
  Pi: 1024n ** 5n,
};
const BINARY_UNITS = ['Pi', 'Ti', 'Gi', 'Mi', 'Ki'] as const;

/** Bytes of a Kubernetes quantity such as `512Mi`, `1.5Gi`, `1G` or `1048576`; undefined if it is none. */
export function parseQuantity(text: string): bigint | undefined {
  const match = /^(\d{1,18})(?:\.(\d{1,9}))?([kKMGTP]?|[KMGTP]i)$/.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', suffix = ''] = match;
  const unit = UNITS[suffix];
  if (unit === undefined) return undefined;
  const scale = 10n ** BigInt(fraction.length);
  const scaled = BigInt(whole + fraction) * unit;
  // A part of a byte means that something else was meant.
  return scaled % scale === 0n ? scaled / scale : undefined;
}

/** The shortest quantity that is exactly so many bytes. */
export function formatQuantity(bytes: bigint): string {
  const unit = BINARY_UNITS.find((suffix) => bytes % (UNITS[suffix] ?? 1n) === 0n);
  if (unit === undefined || bytes === 0n) return String(bytes);
  return `${bytes / (UNITS[unit] ?? 1n)}${unit}`;
}

/** For people: at most one decimal, such as `1.4Gi`. */
export function formatBytes(bytes: bigint): string {
  const unit = BINARY_UNITS.find((suffix) => bytes >= (UNITS[suffix] ?? 1n));
  if (unit === undefined) return `${bytes}B`;
  const value = Number(bytes) / Number(UNITS[unit]);
  return `${value >= 100 ? Math.round(value) : Math.round(value * 10) / 10}${unit}`;
}

export function formatRate(bytesPerSecond: bigint): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}
