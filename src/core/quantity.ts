/*
 * Quantities as Kubernetes writes them (k8s.io/apimachinery/pkg/api/resource): a decimal number, then a binary or decimal
 * suffix or an exponent. Kept as written wherever they are stored; numbers are only worked out where they are used.
 */

const SUFFIXES: Readonly<Record<string, readonly [numerator: bigint, denominator: bigint]>> = {
  m: [1n, 1000n],
  '': [1n, 1n],
  k: [1000n, 1n],
  M: [1000n ** 2n, 1n],
  G: [1000n ** 3n, 1n],
  T: [1000n ** 4n, 1n],
  P: [1000n ** 5n, 1n],
  E: [1000n ** 6n, 1n],
  Ki: [1024n, 1n],
  Mi: [1024n ** 2n, 1n],
  Gi: [1024n ** 3n, 1n],
  Ti: [1024n ** 4n, 1n],
  Pi: [1024n ** 5n, 1n],
  Ei: [1024n ** 6n, 1n],
};
const BINARY_SUFFIXES = ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki'] as const;

const QUANTITY = /^\+?(\d{1,18})(?:\.(\d{0,9}))?(?:(m|[kMGTPE]|[KMGTPE]i)|[eE]\+?(\d{1,2}))?$/;
const BIT_RATE = /^(\d{1,15})(?:\.(\d{1,9}))?([kKMGT]?)bps$/;

/** Thousandths of a quantity, rounded up; undefined if it is none. */
function parseThousandths(text: string): bigint | undefined {
  const match = QUANTITY.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', suffix = '', exponent = '0'] = match;
  const [numerator, denominator] = SUFFIXES[suffix] ?? [1n, 1n];
  const scaled = BigInt(whole + fraction) * numerator * 10n ** BigInt(exponent) * 1000n;
  return divideUp(scaled, denominator * 10n ** BigInt(fraction.length));
}

function divideUp(dividend: bigint, divisor: bigint): bigint {
  return (dividend + divisor - 1n) / divisor;
}

/** Bytes of a quantity such as `512Mi`, `1.5Gi`, `1G` or `1048576`, rounded up to whole bytes; undefined if it is none. */
export function parseBytes(text: string): bigint | undefined {
  const thousandths = parseThousandths(text);
  return thousandths === undefined ? undefined : divideUp(thousandths, 1000n);
}

/** Thousandths of a CPU of a quantity such as `2`, `1.5` or `1500m`, rounded up; undefined if it is none. */
export function parseMilliCpus(text: string): number | undefined {
  const thousandths = parseThousandths(text);
  if (thousandths === undefined || thousandths > BigInt(Number.MAX_SAFE_INTEGER)) return undefined;
  return Number(thousandths);
}

/** Bits a second of a rate such as `1Gbps`, `250Mbps` or `9600bps`; undefined if it is none. */
export function parseBitRate(text: string): number | undefined {
  const match = BIT_RATE.exec(text);
  if (match === null) return undefined;
  const [, whole = '', fraction = '', suffix = ''] = match;
  const [unit] = SUFFIXES[suffix === 'K' ? 'k' : suffix] ?? [1n];
  const bits = divideUp(BigInt(whole + fraction) * unit, 10n ** BigInt(fraction.length));
  return bits > BigInt(Number.MAX_SAFE_INTEGER) ? undefined : Number(bits);
}

/** What may be meant by a text that is no amount of bytes: `512M or 512Mi` by `512MB`. Undefined if nobody can tell. */
export function similarBytes(text: string): string | undefined {
  const match = /^\s*(\d+(?:[.,]\d+)?)\s*([kmgtpe]?)(i?)(?:b|bytes?)?\s*$/i.exec(text);
  if (match === null) return undefined;
  const [, number = '', prefix = '', binary = ''] = match;
  const amount = number.replace(',', '.');
  if (parseBytes(amount) === undefined) return undefined;
  if (prefix === '') return amount;
  const unit = prefix.toUpperCase();
  if (binary !== '') return `${amount}${unit}i`;
  return `${amount}${unit === 'K' ? 'k' : unit} or ${amount}${unit}i`;
}

/** What may be meant by a text that is no rate: `1Gbps` by `1 Gbit/s`. Undefined if nobody can tell. */
export function similarBitRate(text: string): string | undefined {
  const match = /^\s*(\d+(?:[.,]\d+)?)\s*([kmgtKMGT]?)(?:b|bit|bits)?(?:ps|\/s)?\s*$/.exec(text);
  if (match === null) return undefined;
  const [, number = '', prefix = ''] = match;
  const unit = prefix.toUpperCase();
  const rate = `${number.replace(',', '.')}${unit === 'K' ? 'k' : unit}bps`;
  return parseBitRate(rate) === undefined ? undefined : rate;
}

/** The shortest quantity that is exactly so many bytes. */
export function formatBytesQuantity(bytes: bigint): string {
  const suffix = BINARY_SUFFIXES.find((candidate) => bytes % suffixUnit(candidate) === 0n);
  if (suffix === undefined || bytes === 0n) return String(bytes);
  return `${bytes / suffixUnit(suffix)}${suffix}`;
}

/** The shortest quantity that is so many thousandths of a CPU. */
export function formatMilliCpus(milliCpus: number): string {
  return milliCpus % 1000 === 0 ? String(milliCpus / 1000) : `${milliCpus}m`;
}

/** The shortest rate that is exactly so many bits a second. */
export function formatBitRate(bits: number): string {
  const suffix = (['T', 'G', 'M', 'k'] as const).find(
    (candidate) => bits > 0 && bits % Number(suffixUnit(candidate)) === 0,
  );
  if (suffix === undefined) return `${bits}bps`;
  return `${bits / Number(suffixUnit(suffix))}${suffix}bps`;
}

function suffixUnit(suffix: string): bigint {
  return SUFFIXES[suffix]?.[0] ?? 1n;
}
