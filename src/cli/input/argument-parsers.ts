import { InvalidArgumentError } from 'commander';
import { agentAddressProblem, hostPortProblem } from '../../core/host-port.ts';
import { parseBitRate, parseBytes } from '../../core/quantity.ts';
import { parseDurationMs } from '../output/durations.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

export function durationArgument(text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms > 0) return ms;
  throw new InvalidArgumentError('It must be a duration, such as 100ms, 30s, 5m or 1h30m.');
}

export function bytesArgument(text: string): bigint {
  const bytes = parseBytes(text);
  if (bytes !== undefined) return bytes;
  throw new InvalidArgumentError('It must be a number of bytes, such as 4096, 100M or 1.5Gi.');
}

/** The rate as written. */
export function bitRateArgument(text: string): string {
  if (parseBitRate(text) !== undefined) return text;
  throw new InvalidArgumentError('It must be in bits a second, such as 1Gbps or 250Mbps.');
}

export function generationArgument(text: string): bigint {
  if (/^\d{1,15}$/.test(text)) return BigInt(text);
  throw new InvalidArgumentError('It must be a number, as metadata.generation is; 0 for none yet.');
}

export function ownershipEpochArgument(text: string): bigint {
  if (/^[1-9]\d{0,14}$/.test(text)) return BigInt(text);
  throw new InvalidArgumentError('It must be a number from 1 to 999999999999999.');
}

export function uuidArgument(text: string): string {
  if (UUID.test(text)) return text;
  throw new InvalidArgumentError(
    'It must be a UUID in lower case, such as 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11.',
  );
}

/** Where another node is reached. */
export function hostPortArgument(text: string): string {
  return unlessProblem(text, hostPortProblem(text, 'reach'));
}

/** Where the agent is: a unix socket, or HOST:PORT. */
export function agentAddressArgument(text: string): string {
  return unlessProblem(text, agentAddressProblem(text));
}

function unlessProblem(text: string, problem: string | undefined): string {
  if (problem === undefined) return text;
  throw new InvalidArgumentError(`It ${problem}.`);
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
