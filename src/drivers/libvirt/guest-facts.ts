import { parseCpuList } from '../../core/cpu-list.ts';
import { AgentError } from '../../core/errors.ts';
import type {
  GuestFact,
  GuestFacts,
  GuestFileSystem,
  GuestOnline,
  GuestOs,
  GuestTimeZone,
  GuestUser,
} from '../hypervisor-guest-agent.ts';
import { MAX_ENTRIES, plainText } from './guest-words.ts';
import type { TextParameters } from './typed-parameters.ts';

/** Of what no clock says: 100,000 years. */
const MAX_TIME_MS = 3_155_760_000_000_000;
/** All places on earth are within. */
const MAX_OFFSET_SECONDS = 18 * 3_600;
const MAX_DISKS = 64;

/** What the typed parameters of a group mean; libvirt names them. */
export const READ_FACT = {
  os: (parameters) => known(readOs(parameters)),
  hostname: (parameters) => known(textOf(parameters, 'hostname')),
  timeZone: (parameters) => known(readTimeZone(parameters)),
  users: (parameters) => listOf(parameters, 'user', readUser),
  fileSystems: (parameters) => listOf(parameters, 'fs', readFileSystem),
} as const satisfies {
  readonly [Group in keyof GuestFacts]-?: (
    parameters: TextParameters,
  ) => NonNullable<GuestFacts[Group]>;
};

/** How many CPUs it says that it sees and uses. Fails with GUEST_ANSWER_INVALID. */
export function readGuestCpus(parameters: TextParameters): GuestOnline['cpus'] {
  const [seen, online] = ['vcpus', 'online'].map((name) => {
    const list = parameters.get(name);
    return typeof list === 'string' ? parseCpuList(list)?.length : undefined;
  });
  if (seen !== undefined && online !== undefined && online > 0 && online <= seen) {
    return { seen, online };
  }
  throw new AgentError('GUEST_ANSWER_INVALID', 'the guest agent does not say which CPUs it has');
}

function readOs(parameters: TextParameters): GuestOs | undefined {
  const text = (name: string): string => textOf(parameters, `os.${name}`) ?? '';
  const os = {
    id: text('id'),
    name: text('name'),
    prettyName: text('pretty-name'),
    version: text('version'),
    kernelRelease: text('kernel-release'),
    machine: text('machine'),
  };
  return Object.values(os).every((value) => value === '') ? undefined : os;
}

function readTimeZone(parameters: TextParameters): GuestTimeZone | undefined {
  const offset = numberWithin(
    parameters,
    'timezone.offset',
    -MAX_OFFSET_SECONDS,
    MAX_OFFSET_SECONDS,
  );
  if (offset === undefined) return undefined;
  return { name: textOf(parameters, 'timezone.name') ?? '', offsetSeconds: offset };
}

function readUser(parameters: TextParameters, prefix: string): GuestUser | undefined {
  const name = textOf(parameters, `${prefix}.name`);
  if (name === undefined) return undefined;
  return {
    name,
    domain: textOf(parameters, `${prefix}.domain`) ?? '',
    loginAtMs: numberWithin(parameters, `${prefix}.login-time`, 0, MAX_TIME_MS),
  };
}

function readFileSystem(parameters: TextParameters, prefix: string): GuestFileSystem | undefined {
  const mountPoint = textOf(parameters, `${prefix}.mountpoint`);
  if (mountPoint === undefined) return undefined;
  const disks = countOf(parameters, `${prefix}.disk`, MAX_DISKS);
  const aliases = Array.from({ length: disks }, (_, index) => {
    const disk = `${prefix}.disk.${index}`;
    return textOf(parameters, `${disk}.alias`) ?? textOf(parameters, `${disk}.device`) ?? '';
  });
  return {
    name: textOf(parameters, `${prefix}.name`) ?? '',
    mountPoint,
    type: textOf(parameters, `${prefix}.fstype`) ?? '',
    totalBytes: bytesOf(parameters, `${prefix}.total-bytes`),
    usedBytes: bytesOf(parameters, `${prefix}.used-bytes`),
    disks: aliases.filter((alias) => alias !== ''),
  };
}

/** What is there; a guest that says nothing has said nothing true. */
function known<T>(value: T | undefined): GuestFact<T> {
  if (value !== undefined) return { value, problem: undefined };
  const message = 'The guest says nothing about it that makes sense';
  return { value: undefined, problem: { reason: 'GUEST_ANSWER_INVALID', message } };
}

function listOf<T>(
  parameters: TextParameters,
  name: string,
  read: (parameters: TextParameters, prefix: string) => T | undefined,
): GuestFact<readonly T[]> {
  const count = countOf(parameters, name, Number.MAX_SAFE_INTEGER);
  const shown = Math.min(count, MAX_ENTRIES);
  const items = Array.from({ length: shown }, (_, index) => read(parameters, `${name}.${index}`));
  const value = items.filter((item) => item !== undefined);
  if (value.length === count) return { value, problem: undefined };
  const message = `The guest names ${count}, of which ${value.length} are shown: of more than ${MAX_ENTRIES} the rest is left out, as is what makes no sense`;
  return { value, problem: { reason: 'GUEST_ANSWER_INVALID', message } };
}

function countOf(parameters: TextParameters, name: string, max: number): number {
  return numberWithin(parameters, `${name}.count`, 0, max) ?? 0;
}

function textOf(parameters: TextParameters, name: string): string | undefined {
  const value = parameters.get(name);
  return typeof value === 'string' ? plainText(value) : undefined;
}

function bytesOf(parameters: TextParameters, name: string): bigint | undefined {
  const value = parameters.get(name);
  return typeof value === 'bigint' && value >= 0n ? value : undefined;
}

function numberWithin(
  parameters: TextParameters,
  name: string,
  min: number,
  max: number,
): number | undefined {
  const value = parameters.get(name);
  if (typeof value !== 'number' && typeof value !== 'bigint') return undefined;
  return value >= min && value <= max ? Number(value) : undefined;
}
