import { type Guest, GuestAddressSource } from '../../client/api.ts';
import { API_VERSION } from '../../core/resources/api-version.ts';
import { type Document, enumWord, timestampText, withoutEmpty } from '../output/documents.ts';
import { formatBytes } from '../output/quantities.ts';
import type { ResourceView } from '../output/resource-view.ts';
import { formatTable } from '../output/table.ts';
import type { Fact } from './description-text.ts';

const MINUTES_PER_HOUR = 60;
const SECONDS_PER_MINUTE = 60;

export const GUEST_VIEW: ResourceView<Guest> = {
  columns: [
    { header: 'VM', value: vmNameOf },
    { header: 'AGENT', value: ({ agentConnected }) => (agentConnected ? 'connected' : 'absent') },
    { header: 'HOSTNAME', value: ({ hostname }) => hostname },
    { header: 'OS', value: osText },
    { header: 'KERNEL', value: ({ operatingSystem }) => operatingSystem?.kernelRelease ?? '' },
    { header: 'TIME ZONE', value: timeZoneText },
    { header: 'FROZEN UNTIL', value: ({ freeze }) => timestampText(freeze?.deadline) ?? '' },
  ],
  document: guestDocument,
  name: vmNameOf,
};

/** The guest of a VM in short: what it says of itself, and its addresses with who says so. */
export function guestSummaryFacts(guest: Guest): readonly Fact[] {
  const { hostname, operatingSystem, interfaces, freeze } = guest;
  return [
    ['Host name', hostname],
    ['OS', osText(guest)],
    ['Kernel', operatingSystem?.kernelRelease],
    ['Frozen until', timestampText(freeze?.deadline)],
    [
      'Addresses',
      interfaces.flatMap(({ name, source, addresses }) =>
        addresses.map((address) => `${addressText(address)} on ${name}, by ${sourceWord(source)}`),
      ),
    ],
  ];
}

/** What does not fit into one row: tables for people. Of what nobody knows of, there is no table. */
export function guestDetailsText(guest: Guest): string {
  const { interfaces, fileSystems, users, problems } = guest;
  return [
    tableOf(
      ['INTERFACE', 'SOURCE', 'MAC', 'ADDRESSES'],
      interfaces.map(({ name, source, macAddress, addresses }) => [
        name,
        sourceWord(source),
        macAddress,
        addresses.map(addressText).join(' '),
      ]),
    ),
    tableOf(
      ['FILE SYSTEM', 'TYPE', 'MOUNTED AT', 'SIZE', 'USED', 'DISKS'],
      fileSystems.map(({ name, type, mountPoint, totalBytes, usedBytes, disks }) => [
        name,
        type,
        mountPoint,
        totalBytes === undefined ? '' : formatBytes(totalBytes),
        usedBytes === undefined ? '' : formatBytes(usedBytes),
        disks.join(' '),
      ]),
    ),
    tableOf(
      ['USER', 'SINCE'],
      users.map(({ name, domain, loginTime }) => [
        domain === '' ? name : `${domain}\\${name}`,
        timestampText(loginTime) ?? '',
      ]),
    ),
    tableOf(
      ['NOT KNOWN', 'REASON', 'MESSAGE'],
      problems.map(({ field, reason, message }) => [field, reason, message]),
    ),
  ].join('');
}

function tableOf(headers: readonly string[], rows: readonly (readonly string[])[]): string {
  return rows.length === 0 ? '' : `\n${formatTable(headers, rows)}`;
}

function guestDocument(guest: Guest): Document {
  const { virtualMachine, users, interfaces, fileSystems, freeze, problems } = guest;
  const { operatingSystem, timeZone } = guest;
  return withoutEmpty({
    apiVersion: API_VERSION,
    kind: 'Guest',
    virtualMachine: virtualMachine && withoutEmpty({ ...virtualMachine }),
    agentConnected: guest.agentConnected,
    operatingSystem: operatingSystem && withoutEmpty({ ...operatingSystem }),
    hostname: guest.hostname,
    timeZone: timeZone && withoutEmpty({ ...timeZone }),
    users: users.map(({ loginTime, ...user }) =>
      withoutEmpty({ ...user, loginTime: timestampText(loginTime) }),
    ),
    fileSystems: fileSystems.map((fileSystem) => withoutEmpty({ ...fileSystem })),
    interfaces: interfaces.map(({ source, ...one }) =>
      withoutEmpty({ ...one, source: sourceWord(source) }),
    ),
    freeze: freeze && withoutEmpty({ ...freeze, deadline: timestampText(freeze.deadline) }),
    problems: problems.map((problem) => withoutEmpty({ ...problem })),
  });
}

function vmNameOf({ virtualMachine }: Guest): string {
  const { namespace = '', name = '' } = virtualMachine ?? {};
  return `${namespace}/${name}`;
}

function osText({ operatingSystem }: Guest): string {
  const { prettyName = '', name = '', version = '' } = operatingSystem ?? {};
  return prettyName === '' ? [name, version].filter((word) => word !== '').join(' ') : prettyName;
}

/** `CET (+01:00)`. */
function timeZoneText({ timeZone }: Guest): string {
  if (timeZone === undefined) return '';
  const minutes = Math.trunc(Math.abs(timeZone.offsetSeconds) / SECONDS_PER_MINUTE);
  const parts = [Math.trunc(minutes / MINUTES_PER_HOUR), minutes % MINUTES_PER_HOUR];
  const clock = parts.map((part) => String(part).padStart(2, '0')).join(':');
  const offset = `${timeZone.offsetSeconds < 0 ? '-' : '+'}${clock}`;
  return timeZone.name === '' ? offset : `${timeZone.name} (${offset})`;
}

function sourceWord(source: GuestAddressSource): string {
  return (enumWord(GuestAddressSource, 'GUEST_ADDRESS_SOURCE', source) ?? '').toLowerCase();
}

function addressText({ address, prefixLength }: { address: string; prefixLength: number }): string {
  return prefixLength === 0 ? address : `${address}/${prefixLength}`;
}
