import { METADATA_NAMESPACE } from './metadata-namespace.ts';
import type { XmlElement } from './xml-parser.ts';
import { attributeOf, childrenInNamespace, childrenOf, findElement, textOf } from './xml-query.ts';

/*
 * What we make carries an alias that says which volume or network it is. The aliases of a domain that runs cannot be changed, so
 * one that somebody else has made keeps its own, and the metadata says which devices its manifest speaks of.
 */
export interface Adoption {
  /** Guest devices of disks; each is the name of its volume. */
  readonly volumes: readonly string[];
  /** Names of networks, by the MAC addresses of their interfaces. */
  readonly networks: ReadonlyMap<string, string>;
}

/** As attributes of the metadata. */
export function adoptionAttributes(adoption: Adoption | undefined): Record<string, string> {
  if (adoption === undefined) return {};
  const networks = [...adoption.networks].map(([mac, name]) => `${mac}=${name}`);
  return {
    adopted: adoption.volumes.join(' '),
    ...(networks.length > 0 && { adoptedNetworks: networks.join(' ') }),
  };
}

/** What an element of our metadata says of it; undefined of a domain that an agent has made. */
export function readAdoption(metadata: XmlElement | undefined): Adoption | undefined {
  const volumes = attributeOf(metadata, 'adopted');
  if (volumes === undefined) return undefined;
  const networks = wordsOf(attributeOf(metadata, 'adoptedNetworks')).map((pair) => {
    const [mac = '', name = ''] = pair.split('=');
    return [mac, name] as const;
  });
  return { volumes: wordsOf(volumes), networks: new Map(networks) };
}

/** The same of the domain that something is part of. A copy has the metadata of another, and was not adopted itself. */
export function adoptionOf(part: XmlElement): Adoption | undefined {
  let root = part;
  while (root.parent !== undefined) root = root.parent;
  const known = READ.get(root);
  if (known !== undefined) return known.adoption;
  const adoption = readOwnAdoption(root);
  READ.set(root, { adoption });
  return adoption;
}

/** It is asked for each device, and somebody's metadata may be large. */
const READ = new WeakMap<XmlElement, { readonly adoption: Adoption | undefined }>();

function readOwnAdoption(root: XmlElement): Adoption | undefined {
  const [metadata] = metadataElements(root);
  const uuid = textOf(findElement(root, 'uuid'))?.trim().toLowerCase();
  return attributeOf(metadata, 'uid') === uuid ? readAdoption(metadata) : undefined;
}

export function isAdopted(part: XmlElement): boolean {
  return adoptionOf(part) !== undefined;
}

/** Our own elements in a domain's metadata. */
export function metadataElements(domain: XmlElement): readonly XmlElement[] {
  return childrenInNamespace(findElement(domain, 'metadata'), METADATA_NAMESPACE, 'vm');
}

export function aliasOf(device: XmlElement): string {
  return attributeOf(childrenOf(device, 'alias')[0], 'name') ?? '';
}

function wordsOf(text = ''): readonly string[] {
  return text.split(' ').filter((word) => word !== '');
}
