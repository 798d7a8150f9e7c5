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
type AddressedNetwork = Omit<Network, 'link'> & {
  readonly mac: string;
  readonly link?: Network['link'];
};

/** Fields of a network that stand in no element: who asks for an address is the guest. */
const WITHOUT_ELEMENT = /^networks\[\d+\]\.ipv4(\.|$)/;

const WHOLE = /^networks\[\d+\]$/;
/** Of what is connected to it, which a guest sees at most by its link. */
const LIVE_FIELD = /^networks\[\d+\]\.(link|bridge)$/;

/** Interfaces on bridges of the host. */
export const interfacesPart: DomainPart = {
  drift: 'networks',

  read: readNetworksOf,

  effectOf(field, change) {
    if (field !== 'networks' && !field.startsWith('networks[')) return undefined;
    if (WITHOUT_ELEMENT.test(field)) return 'now';
    if (LIVE_FIELD.test(field)) return 'live';
    const isPlugged = change?.before === undefined || change.after === undefined;
    return change !== undefined && isPlugged && WHOLE.test(field) ? 'live' : 'next-start';
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
  change(editor, domain, { networks = [] }, { vmUid, before }) {
    const devices = findElement(domain, 'devices');
    if (devices === undefined) return;
    const present = childrenOf(devices, 'interface').filter(isOurs);
    for (const one of present) {
      if (!networks.some(({ name }) => name === nameOf(one))) editor.remove(one);
    }
    for (const network of networks) {
      const had = before?.networks?.find(({ name }) => name === network.name);
      const wanted = { ...network, mac: macOf(vmUid, network), link: linkWanted(network, had) };
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
    const link = linkOf(one);
    const connected = ['network', 'bridge', 'dev'].map((name) => attributeOf(source, name));
    return {
      name: isOurs(one) ? nameOf(one) : (connected.find((name) => name !== undefined) ?? ''),
      mac: macOfInterface(one),
      bridge: isOnBridge(one) ? attributeOf(source, 'bridge') : undefined,
      model: attributeOf(findElement(one, 'model'), 'type') ?? '',
      hostDevice: attributeOf(findElement(one, 'target'), 'dev'),
      ...(link !== undefined && { link }),
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
    network.link && element('link', { state: network.link }),
    element('alias', { name: NETWORK_ALIAS_PREFIX + network.name }),
  );
}

function sourceNode(network: Pick<Network, 'name' | 'bridge'>): XmlNode {
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
  connect(editor, old, wanted);
  changeQueues(editor, old, queuesOf(wanted));
}

/** Changes what an interface is connected to, and whether it is. */
export function connect(
  editor: XmlEditor,
  old: XmlElement,
  wanted: Pick<Network, 'name' | 'bridge' | 'link'>,
): void {
  const source = findElement(old, 'source');
  if (source === undefined) editor.append(old, sourceNode(wanted));
  else if (attributeOf(source, 'bridge') !== bridgeOf(wanted)) {
    editor.replace(source, sourceNode(wanted));
  }
  changeLink(editor, old, wanted.link);
}

/** What a network that had a word for it and has none any more was before somebody has said it. */
function linkWanted({ link }: Network, before: Network | undefined): Network['link'] {
  return link ?? (before?.link === undefined ? undefined : 'up');
}

/** That of one of which no network speaks stays as somebody has set it. */
function changeLink(editor: XmlEditor, old: XmlElement, wanted: Network['link']): void {
  if (wanted === undefined || wanted === (linkOf(old) ?? 'up')) return;
  const present = findElement(old, 'link');
  if (present === undefined) editor.append(old, element('link', { state: wanted }));
  else editor.setAttribute(present, 'state', wanted);
}

/** Undefined where nothing is said, which is up. */
function linkOf(one: XmlElement): 'up' | 'down' | undefined {
  const state = attributeOf(findElement(one, 'link'), 'state');
  return state === 'up' || state === 'down' ? state : undefined;
}

/** The interface that was made for a network. */
export function findInterface(domain: XmlElement, networkName: string): XmlElement | undefined {
  return childrenOf(findElement(domain, 'devices'), 'interface').find(
    (one) => ownNameOf(one) === networkName,
  );
}

function changeQueues(editor: XmlEditor, old: XmlElement, wanted: string | undefined): void {
  const driver = findElement(old, 'driver');
  const present = attributeOf(driver, 'queues');
  if ((present === '1' ? undefined : present) === wanted) return;
  if (driver === undefined) editor.append(old, element('driver', { queues: wanted }));
  else if (wanted === undefined) editor.removeAttribute(driver, 'queues');
  else editor.setAttribute(driver, 'queues', wanted);
}
