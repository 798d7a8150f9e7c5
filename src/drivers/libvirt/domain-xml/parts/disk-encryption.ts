import { createHash } from 'node:crypto';
import type { Volume } from '../../../../core/resources/volume.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, findElement } from '../xml-query.ts';

/** What in a source says that it is encrypted, and which secret of libvirt's has the key. */
export function encryptionNode(keyUuid: string | undefined): XmlNode | undefined {
  if (keyUuid === undefined) return undefined;
  const secret = element('secret', { type: 'passphrase', uuid: keyUuid });
  return element('encryption', { format: 'luks' }, secret);
}

/** The secret with the key of a volume; undefined for one that is not encrypted. */
export function findKeyUuid(
  { name, encryption }: Pick<Volume, 'name' | 'encryption'>,
  vmUid: string,
): string | undefined {
  return encryption && keyUuidOf(vmUid, name);
}

/** The secret that a source names; undefined for one that is not encrypted. */
export function keyUuidIn(source: XmlElement | undefined): string | undefined {
  return attributeOf(findElement(source, 'encryption', 'secret'), 'uuid');
}

/** What libvirt calls the secret with the key of a VM's disk: the same on every node, and no other's. */
export function keyUuidOf(vmUid: string, volumeName: string): string {
  const hash = createHash('sha256').update(`disk-key ${vmUid} ${volumeName}`).digest();
  // RFC 9562, version 8: made in a way of one's own.
  hash.writeUInt8((hash.readUInt8(6) & 0x0f) | 0x80, 6);
  hash.writeUInt8((hash.readUInt8(8) & 0x3f) | 0x80, 8);
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}
