/** A count for a uint64 field; what cannot be counted (a negative rate, NaN) is 0. */
export function toUint64(value: number | bigint): bigint {
  if (typeof value === 'bigint') return value < 0n ? 0n : value;
  return Number.isFinite(value) && value > 0 ? BigInt(Math.trunc(value)) : 0n;
}

const MAX_UINT32 = 4_294_967_295;

export function toUint32(value: number): number {
  return Number.isFinite(value) ? Math.trunc(Math.min(Math.max(value, 0), MAX_UINT32)) : 0;
}
