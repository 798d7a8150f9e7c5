import { InvalidArgumentError } from 'commander';
import { parseDurationMs } from '../output/durations.ts';
import { parseQuantity } from '../output/quantities.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function durationArgument(text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms > 0) return ms;
  throw new InvalidArgumentError('It must be a duration, such as 100ms, 30s, 5m or 1h30m.');
}

export function quantityArgument(text: string): bigint {
  const bytes = parseQuantity(text);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError('It must be a number of bytes, such as 4096, 100M or 1.5Gi.');
}

export function uuidArgument(text: string): string {
  if (UUID.test(text)) return text;
  throw new InvalidArgumentError(
    'It must be a UUID in lower case, such as 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11.',
  );
}

export function hostPortArgument(text: string): string {
  if (/^(\[[0-9a-fA-F:]+\]|[^:/]+):\d{1,5}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be HOST:PORT, such as 10.0.0.2:7443 or [fd00::2]:7443.');
}

export function labelArgument(
  text: string,
  previous: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> {
  const labels: Record<string, string> = { ...previous };
  for (const pair of text.split(',')) {
    const [key = '', value, ...more] = pair.split('=');
    if (key === '' || value === undefined || more.length > 0) {
      throw new InvalidArgumentError('It must be KEY=VALUE, or several with commas between.');
    }
    labels[key] = value;
  }
  return labels;
}
