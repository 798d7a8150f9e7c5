import { createHash } from 'node:crypto';

const MAC_ADDRESS = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;
/** First byte of what belongs to no vendor and is one interface's address. */
const LOCAL_UNICAST = 0x02;
const MULTICAST_BIT = 0x01;
/** libvirt gives the host's end of a guest's interface the guest's address with this first byte, and keeps it for that. */
const OF_HOST_ENDS = 0xfe;

/** What keeps a text from being the address of one interface of a guest, for people; undefined if nothing does. */
export function macProblem(text: string): string | undefined {
  if (!MAC_ADDRESS.test(text)) {
    return 'must be six bytes in hexadecimal with colons between them, such as 52:54:00:12:34:56';
  }
  if (/^[0:]+$/.test(text)) return 'must not be zero; leave it out to be given one';
  const first = Number.parseInt(text.slice(0, 2), 16);
  if ((first & MULTICAST_BIT) !== 0) {
    return `must be the address of one interface, and ${text} is one of a group: the first byte must be even, such as 52`;
  }
  if (first === OF_HOST_ENDS) {
    return "must not begin with fe, which libvirt keeps for the host's end of interfaces; 52 will do";
  }
  return undefined;
}

/**
 * The MAC address of a VM's interface: the one given, or one derived from who the VM is. How it is derived must never change:
 * guests know their interfaces by it, and so do leases.
 */
export function macOf(
  vmUid: string,
  { name, mac }: { readonly name: string; readonly mac?: string | undefined },
): string {
  if (mac !== undefined) return mac;
  const digest = createHash('sha256').update(`${vmUid}/${name}`).digest();
  const bytes = [LOCAL_UNICAST, ...digest.subarray(0, 5)];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
