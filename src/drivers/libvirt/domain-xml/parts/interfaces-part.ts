import { macOf } from '../../../../core/resources/mac-address.ts';
import { bridgeOf, modelOf, type Network } from '../../../../core/resources/network.ts';
import type { HypervisorInterface } from '../../../hypervisor-domains.ts';
import { adoptionOf, aliasOf } from '../adoption.ts';
import type { DomainPart } from '../domain-part.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement } from '../xml-query.ts';
import {
  isOnBridge,
  macOfInterface,
  NETWORK_ALIAS_PREFIX,
  readNetworksOf,
} from './read-networks.ts';

/** A network with the address that its interface has. */
type AddressedNetwork = Network & { readonly mac: string };

/** Fields of a network that stand in no element: who asks for an address is the guest. */
const WITHOUT_ELEMENT = /^networks\[\d+\]\.ipv4(\.|$)/;

/** Interfaces on bridges of the host. */
export const interfacesPart: DomainPart = {
  drift: 'networks',

  read: readNetworksOf,

  effectOf(field) {
    if (field !== 'networks' && !field.startsWith('networks[')) return undefined;
    return WITHOUT_ELEMENT.test(field) ? 'now' : 'next-start';
  },

  build({ networks = [] }, { vmUid }) {
    return {
      devices: networks.map((network) => interfaceNode({ ...network, mac: macOf(vmUid, network) })),
    };
  },

  /**
   * Adds, changes and removes our own interfaces, known by their alias. Those of another maker stay as they are, and so does what
   * somebody has set of ours that no network speaks of, such as the state of the link.
   */
  change(editor, domain, { networks = [] }, { vmUid }) {
    const devices = findElement(domain, 'devices');
    if (devices === undefined) return;
    const present = childrenOf(devices, 'interface').filter(isOurs);
    for (const one of present) {
      if (!networks.some(({ name }) => name === nameOf(one))) editor.remove(one);
    }
    for (const network of networks) {
      const wanted = { ...network, mac: macOf(vmUid, network) };
      const [old, ...others] = present.filter((one) => nameOf(one) === network.name);
      for (const other of others) editor.remove(other);
      if (old === undefined) editor.append(devices, interfaceNode(wanted));
      else changeInterface(editor, old, wanted);
    }
  },
};

/** In the domain's order, those of other makers too. */
export function readInterfaces(domain: XmlElement): readonly HypervisorInterface[] {
  return childrenOf(findElement(domain, 'devices'), 'interface').map((one) => {
    const source = findElement(one, 'source');
    const connected = ['network', 'bridge', 'dev'].map((name) => attributeOf(source, name));
    return {
      name: isOurs(one) ? nameOf(one) : (connected.find((name) => name !== undefined) ?? ''),
      mac: macOfInterface(one),
      bridge: isOnBridge(one) ? attributeOf(source, 'bridge') : undefined,
      model: attributeOf(findElement(one, 'model'), 'type') ?? '',
      hostDevice: attributeOf(findElement(one, 'target'), 'dev'),
    };
  });
}

function isOurs(one: XmlElement): boolean {
  return ownNameOf(one) !== undefined;
}

function nameOf(one: XmlElement): string {
  return ownNameOf(one) ?? '';
}

/** Of the network that it was made for, or that it was adopted as. */
function ownNameOf(one: XmlElement): string | undefined {
  const alias = aliasOf(one);
  if (alias.startsWith(NETWORK_ALIAS_PREFIX)) return alias.slice(NETWORK_ALIAS_PREFIX.length);
  return adoptionOf(one)?.networks.get(macOfInterface(one));
}

function interfaceNode(network: AddressedNetwork): XmlNode {
  return element(
    'interface',
    { type: 'bridge' },
    element('mac', { address: network.mac }),
    sourceNode(network),
    modelNode(network),
    queuesOf(network) === undefined ? undefined : element('driver', { queues: queuesOf(network) }),
    element('alias', { name: NETWORK_ALIAS_PREFIX + network.name }),
  );
}

function sourceNode(network: Network): XmlNode {
  return element('source', { bridge: bridgeOf(network) });
}

function modelNode(network: Network): XmlNode {
  return element('model', { type: modelOf(network) });
}

/** One is what there is without a word. */
function queuesOf({ queues = 1 }: Network): string | undefined {
  return queues === 1 ? undefined : String(queues);
}

function changeInterface(editor: XmlEditor, old: XmlElement, wanted: AddressedNetwork): void {
  const model = attributeOf(findElement(old, 'model'), 'type');
  if (!isOnBridge(old) || model !== modelOf(wanted)) {
    // Another device: its place on the bus and its options no longer fit.
    editor.replace(old, interfaceNode(wanted));
    return;
  }
  const mac = findElement(old, 'mac');
  if (mac === undefined) editor.append(old, element('mac', { address: wanted.mac }));
  else if (attributeOf(mac, 'address')?.toLowerCase() !== wanted.mac) {
    editor.setAttribute(mac, 'address', wanted.mac);
  }
  const source = findElement(old, 'source');
  if (source === undefined) editor.append(old, sourceNode(wanted));
  else if (attributeOf(source, 'bridge') !== bridgeOf(wanted)) {
    editor.replace(source, sourceNode(wanted));
  }
  changeQueues(editor, old, queuesOf(wanted));
}

function changeQueues(editor: XmlEditor, old: XmlElement, wanted: string | undefined): void {
  const driver = findElement(old, 'driver');
  const present = attributeOf(driver, 'queues');
  if ((present === '1' ? undefined : present) === wanted) return;
  if (driver === undefined) editor.append(old, element('driver', { queues: wanted }));
  else if (wanted === undefined) editor.removeAttribute(driver, 'queues');
  else editor.setAttribute(driver, 'queues', wanted);
}
