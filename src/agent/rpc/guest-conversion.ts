import {
  GuestAddressSource,
  type GuestFileSystem as GuestFileSystemMessage,
  type GuestFreeze as GuestFreezeMessage,
  type GuestInterface as GuestInterfaceMessage,
  type Guest as GuestMessage,
  type GuestProblem as GuestProblemMessage,
  type GuestUser as GuestUserMessage,
} from '../../gen/novacron/agent/v1/guest.ts';
import type { Freeze } from '../guests/freeze-book.ts';
import type { Guest } from '../guests/guest.ts';
import { toRef } from './common-conversion.ts';
import { toTimestamp } from './time-conversion.ts';

type AddressReport = Guest['addresses'][number];
type AddressSource = AddressReport['source'];
type GuestInterface = NonNullable<AddressReport['value']>[number];
type GuestUser = NonNullable<Guest['facts']['users']['value']>[number];
type GuestFileSystem = NonNullable<Guest['facts']['fileSystems']['value']>[number];

const SOURCE: Readonly<Record<AddressSource, GuestAddressSource>> = {
  agent: GuestAddressSource.GUEST_ADDRESS_SOURCE_AGENT,
  lease: GuestAddressSource.GUEST_ADDRESS_SOURCE_LEASE,
  arp: GuestAddressSource.GUEST_ADDRESS_SOURCE_ARP,
};

export function toGuest({ vm, isConnected, facts, addresses, freeze }: Guest): GuestMessage {
  return {
    virtualMachine: toRef(vm),
    agentConnected: isConnected,
    operatingSystem: facts.os.value && { ...facts.os.value },
    hostname: facts.hostname.value ?? '',
    timeZone: facts.timeZone.value && { ...facts.timeZone.value },
    users: (facts.users.value ?? []).map(toUser),
    fileSystems: (facts.fileSystems.value ?? []).map(toFileSystem),
    interfaces: addresses.flatMap(({ source, value = [] }) =>
      value.map((one) => toInterface(one, source)),
    ),
    freeze: freeze && toFreeze(freeze),
    problems: [
      ...toProblems('operatingSystem', facts.os),
      ...toProblems('hostname', facts.hostname),
      ...toProblems('timeZone', facts.timeZone),
      ...toProblems('users', facts.users),
      ...toProblems('fileSystems', facts.fileSystems),
      ...addresses.flatMap((report) => toProblems(`interfaces.${report.source}`, report)),
    ],
  };
}

export function toFreeze({ requestedBy, deadlineMs }: Freeze): GuestFreezeMessage {
  return { requestedBy, deadline: toTimestamp(deadlineMs) };
}

function toUser({ name, domain, loginAtMs }: GuestUser): GuestUserMessage {
  return { name, domain, loginTime: loginAtMs === undefined ? undefined : toTimestamp(loginAtMs) };
}

function toFileSystem(fileSystem: GuestFileSystem): GuestFileSystemMessage {
  return { ...fileSystem, disks: [...fileSystem.disks] };
}

function toInterface(one: GuestInterface, source: AddressSource): GuestInterfaceMessage {
  const addresses = one.addresses.map((address) => ({ ...address }));
  return { ...one, source: SOURCE[source], addresses };
}

function toProblems(
  field: string,
  { problem }: Pick<AddressReport, 'problem'>,
): readonly GuestProblemMessage[] {
  return problem === undefined ? [] : [{ field, ...problem }];
}
