import type { PartReading } from '../domain-part.ts';
import { extraAttributes, wordsOf } from '../kept-words.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from '../xml-query.ts';

/** The port that QEMU's guest agent listens at. */
export const GUEST_AGENT_CHANNEL = 'org.qemu.guest_agent.0';

/** What a domain is called, which its VM says in its own way. */
const IDENTITY = ['name', 'uuid', 'genid', 'metadata', 'devices'];
/** As every guest has them. */
const USUAL_FEATURES = ['acpi', 'apic', 'pae', 'vmport'];
const USUAL_ENDS: Readonly<Record<string, readonly string[]>> = {
  on_poweroff: ['destroy'],
  on_reboot: ['restart'],
  on_crash: ['destroy', 'restart'],
};

/** What of a domain is as with every other, ours too: nobody needs to be told of it. */
export function readUsual(domain: XmlElement): PartReading {
  const devices = findElement(domain, 'devices');
  const [serial] = childrenOf(devices, 'serial');
  return {
    said: [
      ...childrenOf(domain).filter((one) => isUsualOfDomain(one)),
      ...childrenOf(devices).filter((one) => isUsualDevice(one)),
      ...(serial === undefined ? [] : [serial]),
    ],
    kept: [
      ...childrenOf(findElement(domain, 'features'))
        .filter(({ name }) => !USUAL_FEATURES.includes(name))
        .map((feature) => `feature ${wordsOf(feature)}`),
      ...childrenOf(findElement(domain, 'metadata'))
        .filter(({ name }) => !isOurMetadata(name))
        .map(({ name }) => `metadata ${name}`),
      ...(serial === undefined ? ['no serial console'] : serialWords(serial)),
    ],
  };
}

function isOurMetadata(name: string): boolean {
  return name === 'novacron:vm';
}

function serialWords(serial: XmlElement): readonly string[] {
  if (attributeOf(serial, 'type') !== 'pty') return [wordsOf(serial)];
  return findElement(serial, 'log') === undefined ? ['serial console without a log'] : [];
}

function isUsualOfDomain(one: XmlElement): boolean {
  const { name } = one;
  if (IDENTITY.includes(name) || name === 'features') return true;
  if (name === 'pm') return childrenOf(one).every((way) => attributeOf(way, 'enabled') === 'no');
  if (name === 'resource') return textOf(findElement(one, 'partition')) === '/machine';
  // Of one that runs, as libvirt has labelled it.
  if (name === 'seclabel') return attributeOf(one, 'type') === 'dynamic';
  return USUAL_ENDS[name]?.includes(textOf(one)?.trim() ?? '') === true;
}

function isUsualDevice(one: XmlElement): boolean {
  const type = attributeOf(one, 'type');
  switch (one.name) {
    case 'emulator':
      return true;
    case 'controller':
      return findElement(one, 'driver') === undefined;
    case 'input':
      return attributeOf(one, 'bus') === 'ps2';
    case 'console':
      return ['serial', undefined].includes(attributeOf(findElement(one, 'target'), 'type'));
    case 'channel':
      return attributeOf(findElement(one, 'target'), 'name') === GUEST_AGENT_CHANNEL;
    case 'rng':
      return (
        attributeOf(one, 'model') === 'virtio' &&
        childrenOf(one).every(({ name }) => ['backend', 'address', 'alias'].includes(name))
      );
    case 'panic':
      return attributeOf(one, 'model') === 'isa';
    case 'audio':
      return type === 'none';
    default:
      return false;
  }
}

/** Whatever of a domain nobody has spoken of, each in a few words. */
export function unsaidWords(domain: XmlElement, said: ReadonlySet<XmlElement>): readonly string[] {
  const elements = [...childrenOf(domain), ...childrenOf(findElement(domain, 'devices'))];
  return elements.filter((one) => !said.has(one)).map(unsaidWord);
}

/** Whose text is one of libvirt's words, and not somebody's. */
const TELLING_TEXT = [...Object.keys(USUAL_ENDS), 'iothreads'];
const MOST_TEXT = 20;

function unsaidWord(one: XmlElement): string {
  if (one.name === 'interface') {
    const mac = attributeOf(findElement(one, 'mac'), 'address') ?? '';
    const source = extraAttributes(findElement(one, 'source'), {
      portid: /./,
      bridge: attributeOf(one, 'type') === 'bridge' ? undefined : /./,
    });
    return `interface ${mac} (${[attributeOf(one, 'type') ?? '', ...source].join(' ')})`;
  }
  return TELLING_TEXT.includes(one.name)
    ? `${one.name} ${textOf(one)?.trim().slice(0, MOST_TEXT) ?? ''}`
    : wordsOf(one);
}
