import { InvalidArgumentError } from 'commander';
import { DNS_LABEL, DNS_LABEL_RULE } from '../../core/dns-label.ts';
import { DNS_NAME } from '../../core/dns-name.ts';
import { agentAddressProblem, hostPortProblem } from '../../core/host-port.ts';
import { ipVersionOf } from '../../core/ip-address.ts';
import { parseBitRate, parseBytes, similarBitRate, similarBytes } from '../../core/quantity.ts';
import { parseDurationMs } from '../output/durations.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** What a number of JavaScript, as the agent has it, still counts exactly. */
const MAX_BYTES = 2n ** 53n - 1n;
/** Timers take no more than 2^31 ms, and fire at once instead. */
const MAX_DURATION_MS = 24 * 24 * 3_600_000;

export function durationArgument(text: string): number {
  const ms = parseDurationMs(text);
  if (ms !== undefined && ms > MAX_DURATION_MS) {
    throw new InvalidArgumentError('It must be at most 24d.');
  }
  if (ms !== undefined && ms > 0) return ms;
  throw new InvalidArgumentError('It must be a duration, such as 100ms, 30s, 5m or 1h30m.');
}

export function bytesArgument(text: string): bigint {
  const bytes = parseBytes(text);
  if (bytes === 0n) throw new InvalidArgumentError('It must be more than 0; leave it out for all.');
  if (bytes !== undefined && bytes > MAX_BYTES) {
    throw new InvalidArgumentError('It must be at most 8Pi.');
  }
  if (bytes !== undefined) return bytes;
  const rule = 'It must be a number of bytes, such as 4096, 100M or 1.5Gi.';
  throw new InvalidArgumentError(withAdvice(rule, similarBytes(text)));
}

/** The size as written. */
export function sizeArgument(text: string): string {
  if (parseBytes(text) === 0n) throw new InvalidArgumentError('It must be more than 0.');
  bytesArgument(text);
  return text;
}

/** The rate as written. */
export function bitRateArgument(text: string): string {
  const similar = similarBitRate(text);
  const bits = parseBitRate(text);
  if (parseBitRate(similar ?? text) === 0) {
    throw new InvalidArgumentError("It must be more than 0; leave it out for the node's default.");
  }
  if (bits !== undefined) return text;
  const rule = 'It must be in bits a second, such as 1Gbps or 250Mbps.';
  throw new InvalidArgumentError(withAdvice(rule, similar));
}

function withAdvice(rule: string, meant: string | undefined): string {
  return meant === undefined ? rule : `${rule} Did you mean ${meant}?`;
}

export function generationArgument(text: string): bigint {
  if (/^\d{1,15}$/.test(text)) return BigInt(text);
  throw new InvalidArgumentError('It must be a number, as metadata.generation is; 0 for none yet.');
}

export function ownershipEpochArgument(text: string): bigint {
  if (/^[1-9]\d{0,14}$/.test(text)) return BigInt(text);
  throw new InvalidArgumentError('It must be a number from 1 to 999999999999999.');
}

export function volumeArgument(text: string): string {
  if (DNS_LABEL.test(text)) return text;
  throw new InvalidArgumentError(`It must be the name of a volume: ${DNS_LABEL_RULE}.`);
}

/** libvirt's own name for a VM, in which much may stand. */
export function domainArgument(text: string): string {
  if (text !== '' && !/[\p{Cc}/]/u.test(text)) return text;
  throw new InvalidArgumentError('It must be a name that virsh list --all shows.');
}

/** What only a guest knows. */
export function guestProgramArgument(text: string): string {
  if (text !== '' && !/\p{Cc}/u.test(text)) return text;
  throw new InvalidArgumentError('It must be a program of the guest, without control characters.');
}

/** Of a guest, which may be a Windows. */
export function guestUserArgument(text: string): string {
  if (/^[^:\p{Cc}]+$/u.test(text)) return text;
  throw new InvalidArgumentError('It must be the name of a user of the guest, without a colon.');
}

/** Of a file of the node, which need not be this machine. */
export function nodePathArgument(text: string): string {
  if (/^\/[^\0\n]*[^\0\n/]$/.test(text)) return text;
  throw new InvalidArgumentError(
    'It must be an absolute path on the node, such as /var/lib/libvirt/images/debian.iso.',
  );
}

export function uuidArgument(text: string): string {
  if (UUID.test(text)) return text;
  throw new InvalidArgumentError(
    'It must be a UUID in lower case, such as 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11.',
  );
}

export function namespaceArgument(text: string): string {
  if (DNS_LABEL.test(text)) return text;
  throw new InvalidArgumentError(`It must be ${DNS_LABEL_RULE}.`);
}

export function vmNameArgument(text: string): string {
  if (DNS_LABEL.test(text)) return text;
  throw new InvalidArgumentError(`It must be ${DNS_LABEL_RULE}.`);
}

export function nodeNameArgument(text: string): string {
  if (DNS_NAME.test(text)) return text;
  throw new InvalidArgumentError('It must be the name of a node, such as node-b.');
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

/** The name of a volume or a guest device; may be repeated. */
export function volumesArgument(
  name: string,
  previous: readonly string[] | undefined,
): readonly string[] {
  if (!/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/.test(name)) {
    throw new InvalidArgumentError('It must be the name of one volume, such as data.');
  }
  return [...(previous ?? []), name];
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
    if (Object.hasOwn(labels, key) && labels[key] !== value) {
      throw new InvalidArgumentError(`It gives ${key} two values: ${labels[key]} and ${value}.`);
    }
    labels[key] = value;
  }
  return labels;
}

/** By what others may call a node, as a certificate has it. */
export function dnsNameOrAddressArgument(text: string): string {
  if (ipVersionOf(text) !== 0 || DNS_NAME.test(text)) return text;
  throw new InvalidArgumentError('It must be an IP address or a host name, without a port.');
}

/** A digest, or its first digits. */
export function digestArgument(text: string): string {
  if (/^(sha256:)?[0-9a-f]{6,64}$/.test(text)) return text;
  throw new InvalidArgumentError(
    'It must be sha256: and at least 6 of the digits, as "novactl image list" has it.',
  );
}

export function wholeDigestArgument(text: string): string {
  if (/^sha256:[0-9a-f]{64}$/.test(text)) return text;
  throw new InvalidArgumentError('It must be sha256: and 64 hexadecimal digits in lower case.');
}

/** The agent knows which of them it can fetch from. */
export function imageSourceArgument(text: string): string {
  if (/^[a-z][a-z0-9]*:\/\/[^\s\p{Cc}]+$/u.test(text)) return text;
  throw new InvalidArgumentError('It must be an address, such as https://… or file:///PATH.');
}
