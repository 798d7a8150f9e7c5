const UNITS = [
  ['Pi', 1024n ** 5n],
  ['Ti', 1024n ** 4n],
  ['Gi', 1024n ** 3n],
  ['Mi', 1024n ** 2n],
  ['Ki', 1024n],
] as const;

/** For people: at most one decimal, such as `1.4Gi`. */
export function formatBytes(bytes: bigint): string {
  const unit = UNITS.find(([, size]) => bytes >= size);
  if (unit === undefined) return `${bytes}B`;
  const [suffix, size] = unit;
  const value = Number(bytes) / Number(size);
  return `${value >= 100 ? Math.round(value) : Math.round(value * 10) / 10}${suffix}`;
}

export function formatRate(bytesPerSecond: bigint): string {
  return `${formatBytes(bytesPerSecond)}/s`;
}
