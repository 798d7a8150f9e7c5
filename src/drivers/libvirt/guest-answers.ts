import { AgentError } from '../../core/errors.ts';
import { isRecord } from '../../core/is-record.ts';
import type { GuestCommandEnd, GuestOnline } from '../hypervisor-guest-agent.ts';

/* What answers of the QEMU guest agent mean that libvirt hands on as they are: qga/qapi-schema.json of QEMU. */

const MAX_PID = 2 ** 53 - 1;
const MAX_EXIT_CODE = 0xffff_ffff;
const MAX_SIGNAL = 255;
/** Linux has blocks of 2 GiB at most, and 4 PiB of memory that no machine has more of are 2^21 of them. */
const MAX_BLOCK_BYTES = 2 ** 31;
const MAX_BLOCKS = 2 ** 21;
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;

/** Whether file systems are frozen. */
export function parseFreezeStatus(answer: string): boolean {
  const status = returned(answer);
  if (status === 'frozen' || status === 'thawed') return status === 'frozen';
  throw nonsense('whether it is frozen');
}

export function parsePid(answer: string): number {
  const result = returned(answer);
  const pid = isRecord(result) ? result['pid'] : undefined;
  if (typeof pid === 'number' && Number.isInteger(pid) && pid > 0 && pid <= MAX_PID) return pid;
  throw nonsense('which process it has started');
}

/** Undefined for a process that goes on. */
export function parseCommandEnd(answer: string): GuestCommandEnd | undefined {
  const result = returned(answer);
  if (!isRecord(result) || typeof result['exited'] !== 'boolean') {
    throw nonsense('whether the program has ended');
  }
  if (!result['exited']) return undefined;
  const exitCode = wholeNumber(result['exitcode'], MAX_EXIT_CODE);
  const signal = wholeNumber(result['signal'], MAX_SIGNAL);
  if (exitCode === undefined && signal === undefined) throw nonsense('how the program has ended');
  return {
    exitCode,
    signal,
    stdout: bytesOf(result['out-data']),
    stderr: bytesOf(result['err-data']),
    isStdoutCut: result['out-truncated'] === true,
    isStderrCut: result['err-truncated'] === true,
  };
}

/** How much memory it says that it has online and offline, in bytes. */
export function parseGuestMemory(info: string, blocks: string): NonNullable<GuestOnline['memory']> {
  const block = returned(info);
  const bytes = isRecord(block) ? wholeNumber(block['size'], MAX_BLOCK_BYTES) : undefined;
  const list = returned(blocks);
  if (bytes === undefined || bytes === 0 || !Array.isArray(list) || list.length > MAX_BLOCKS) {
    throw nonsense('how much memory it has');
  }
  const online = list.filter((one) => isRecord(one) && one['online'] === true).length;
  return { onlineBytes: online * bytes, offlineBytes: (list.length - online) * bytes };
}

function returned(answer: string): unknown {
  try {
    const parsed: unknown = JSON.parse(answer);
    if (isRecord(parsed) && 'return' in parsed) return parsed['return'];
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw nonsense('anything that has a form');
}

function wholeNumber(value: unknown, max: number): number | undefined {
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) {
    return value;
  }
  throw nonsense('how the program has ended');
}

function bytesOf(value: unknown): Uint8Array {
  if (value === undefined) return new Uint8Array();
  if (typeof value !== 'string' || !BASE64.test(value)) {
    throw nonsense('what the program has written');
  }
  return Buffer.from(value, 'base64');
}

function nonsense(what: string): AgentError {
  return new AgentError(
    'GUEST_ANSWER_INVALID',
    `The guest agent does not say ${what}: its answer makes no sense; update or reinstall qemu-guest-agent in the guest`,
  );
}
