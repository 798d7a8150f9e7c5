import { isRecord } from '../../../core/is-record.ts';
import type { Adoption } from './adoption.ts';
import { aliasOf } from './adoption.ts';
import type { MachineInput } from './domain-part.ts';
import { DOMAIN_PARTS } from './domain-parts.ts';
import { NETWORK_ALIAS_PREFIX, sayableInterfaces } from './parts/read-networks.ts';
import { unsaidWords } from './parts/read-usual.ts';
import { readVolumesOf, volumeNameOf } from './parts/read-volumes.ts';
import { VOLUME_ALIAS_PREFIX } from './parts/volume-nodes.ts';
import type { XmlElement } from './xml-parser.ts';

/** What a domain that somebody else has made is, in the form of a manifest. */
export interface MachineReading {
  readonly machine: MachineInput;
  /** What no manifest can say and stays in the domain as it is, for people. */
  readonly kept: readonly string[];
}

/** More would be a list that nobody reads. */
const MOST_KEPT = 200;

export function readMachine(domain: XmlElement): MachineReading {
  const readings = DOMAIN_PARTS.map((part) => part.read?.(domain) ?? {});
  const said = new Set(readings.flatMap((reading) => reading.said ?? []));
  const kept = [...readings.flatMap((reading) => reading.kept ?? []), ...unsaidWords(domain, said)];
  const more = kept.length - MOST_KEPT;
  return {
    machine: readings.reduce<MachineInput>((all, { machine }) => merged(all, machine ?? {}), {}),
    kept: more <= 0 ? kept : [...kept.slice(0, MOST_KEPT), `and ${more} more`],
  };
}

/** Which of its devices are to be known as what its manifest speaks of: those that do not say so themselves. */
export function adoptionFor(domain: XmlElement): Adoption {
  const disks = (readVolumesOf(domain).said ?? []).filter(
    (disk) => !aliasOf(disk).startsWith(VOLUME_ALIAS_PREFIX),
  );
  const interfaces = sayableInterfaces(domain).filter(
    ({ element }) => !aliasOf(element).startsWith(NETWORK_ALIAS_PREFIX),
  );
  return {
    volumes: disks.map(volumeNameOf),
    networks: new Map(interfaces.map(({ mac, name }) => [mac, name])),
  };
}

/** Objects are put together, anything else is taken from the later one. */
function merged(left: MachineInput, right: MachineInput): MachineInput {
  const entries = Object.entries(right).map(([key, value]) => {
    const before = left[key];
    return [key, isRecord(before) && isRecord(value) ? merged(before, value) : value];
  });
  return { ...left, ...Object.fromEntries(entries) };
}
