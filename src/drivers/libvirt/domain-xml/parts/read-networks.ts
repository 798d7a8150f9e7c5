import { MAX_NETWORKS, network } from '../../../../core/resources/network.ts';
import { networkProblems } from '../../../../core/resources/network-rules.ts';
import { adoptionOf, aliasOf } from '../adoption.ts';
import type { MachineInput, PartReading } from '../domain-part.ts';
import { extraAttributes, extraChildren } from '../kept-words.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement } from '../xml-query.ts';

/** libvirt keeps aliases from users only with the first three letters. */
export const NETWORK_ALIAS_PREFIX = 'ua-net-';

const KNOWN_CHILDREN = ['mac', 'source', 'target', 'model', 'driver', 'alias', 'address'];

/** An interface of a domain, and the network that it is. */
export interface SayableInterface {
  readonly element: XmlElement;
  readonly mac: string;
  readonly name: string;
  readonly input: MachineInput;
}

/** What the interfaces of a domain are as networks. What no network can be stays another maker's interface. */
export function readNetworksOf(domain: XmlElement): PartReading {
  const sayable = sayableInterfaces(domain);
  return {
    machine: sayable.length === 0 ? undefined : { networks: sayable.map(({ input }) => input) },
    said: sayable.map((one) => one.element),
    kept: sayable.flatMap(keptOf),
  };
}

export function sayableInterfaces(domain: XmlElement): readonly SayableInterface[] {
  const all = childrenOf(findElement(domain, 'devices'), 'interface');
  const macs = all.map(macOfInterface);
  const adoption = adoptionOf(domain);
  const sayable: SayableInterface[] = [];
  for (const element of all) {
    const mac = macOfInterface(element);
    // Which of two would be meant nobody could tell.
    const isUnclear = macs.filter((other) => other === mac).length > 1;
    if (isUnclear || !isOnBridge(element) || sayable.length === MAX_NETWORKS) continue;
    const isMade = aliasOf(element).startsWith(NETWORK_ALIAS_PREFIX);
    const known = isMade ? undefined : adoption?.networks.get(mac);
    // Of a domain that was adopted those that have come since are another maker's.
    if (adoption !== undefined && !isMade && known === undefined) continue;
    const name =
      known ??
      freeName(
        element,
        sayable.map((other) => other.name),
      );
    const input = inputOf(element, name);
    const result = network.safeParse(input);
    if (!result.success) continue;
    const hasProblem = networkProblems({ networks: [result.data] }).next().done !== true;
    if (!hasProblem) sayable.push({ element, mac, name, input });
  }
  return sayable;
}

/** In lower case; empty if it has none. */
export function macOfInterface(one: XmlElement): string {
  return (attributeOf(findElement(one, 'mac'), 'address') ?? '').toLowerCase();
}

/** One of Open vSwitch is called so too, and has a virtual port. One on a network of libvirt's is where that is. */
export function isOnBridge(one: XmlElement): boolean {
  return attributeOf(one, 'type') === 'bridge' && findElement(one, 'virtualport') === undefined;
}

function inputOf(one: XmlElement, name: string): MachineInput {
  const bridge = attributeOf(findElement(one, 'source'), 'bridge');
  const queues = attributeOf(findElement(one, 'driver'), 'queues');
  return {
    name,
    type: 'bridge',
    ...(bridge !== name && { bridge }),
    mac: macOfInterface(one),
    model: attributeOf(findElement(one, 'model'), 'type') ?? '',
    ...(queues !== undefined && { queues: Number(queues) }),
  };
}

/** Named for its bridge, as far as a name can be like that. */
function freeName(one: XmlElement, taken: readonly string[]): string {
  const alias = aliasOf(one);
  if (alias.startsWith(NETWORK_ALIAS_PREFIX)) return alias.slice(NETWORK_ALIAS_PREFIX.length);
  const bridge = attributeOf(findElement(one, 'source'), 'bridge') ?? '';
  const plain = bridge
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  const base = plain === '' ? 'net' : plain;
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? base : `${base}-${number}`;
    if (!taken.includes(name)) return name;
  }
}

/** What of an interface its network cannot say. */
function keptOf({ element, mac }: SayableInterface): readonly string[] {
  const [source, model, driver] = ['source', 'model', 'driver'].map((name) =>
    findElement(element, name),
  );
  const words = [
    ...extraAttributes(element, { type: 'bridge' }),
    ...extraAttributes(source, { bridge: /./ }).map((text) => `source ${text}`),
    ...extraAttributes(model, { type: /./ }).map((text) => `model ${text}`),
    ...extraAttributes(driver, { name: 'vhost', queues: /./ }).map((text) => `driver ${text}`),
    ...extraChildren(driver, []),
    ...extraChildren(element, KNOWN_CHILDREN),
  ];
  return words.map((text) => `interface ${mac}: ${text}`);
}
