import { isIP } from 'node:net';
import type { GuestInterface } from '../hypervisor-guest-agent.ts';
import { copyMemory, freeMemory, readText } from './c-memory.ts';
import { MAX_ENTRIES, plainText } from './guest-words.ts';
import type { Libvirt } from './native.ts';
import type { InterfaceListPointer } from './native-pointers.ts';

const POINTER_BYTES = 8;
// libvirt-domain.h: struct _virDomainInterface { char *name; char *hwaddr; unsigned int naddrs; virDomainIPAddressPtr addrs; }
const INTERFACE_BYTES = 32;
const INTERFACE = { name: 0, macAddress: 8, count: 16, addresses: 24 } as const;
// struct _virDomainInterfaceIPAddress { int type; char *addr; unsigned int prefix; }
const ADDRESS_BYTES = 24;
const ADDRESS = { text: 8, prefix: 16 } as const;
const MAX_ADDRESSES = 64;
const MAC_ADDRESS = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i;

/** Reads interfaces that libvirt has listed, and frees them. What is no address is left out. */
export function takeInterfaces(
  libvirt: Pick<Libvirt, 'freeInterface'>,
  list: InterfaceListPointer | null,
  count: number,
): readonly GuestInterface[] {
  if (list === null) return [];
  try {
    const pointers = copyMemory(list, count * POINTER_BYTES);
    return Array.from({ length: count }, (_, index) => {
      const pointer = pointers.readBigUInt64LE(index * POINTER_BYTES);
      try {
        return index < MAX_ENTRIES ? readInterface(pointer) : undefined;
      } finally {
        libvirt.freeInterface(pointer);
      }
    }).filter((one) => one !== undefined);
  } finally {
    freeMemory(list);
  }
}

function readInterface(pointer: bigint): GuestInterface {
  const memory = copyMemory(pointer, INTERFACE_BYTES);
  const count = Math.min(memory.readUInt32LE(INTERFACE.count), MAX_ADDRESSES);
  const list = memory.readBigUInt64LE(INTERFACE.addresses);
  const addresses = list === 0n ? Buffer.alloc(0) : copyMemory(list, count * ADDRESS_BYTES);
  const macAddress = textAt(memory, INTERFACE.macAddress);
  return {
    name: plainText(textAt(memory, INTERFACE.name)),
    macAddress: MAC_ADDRESS.test(macAddress) ? macAddress.toLowerCase() : '',
    addresses: Array.from({ length: addresses.length / ADDRESS_BYTES }, (_, index) => ({
      address: textAt(addresses, index * ADDRESS_BYTES + ADDRESS.text),
      prefixLength: addresses.readUInt32LE(index * ADDRESS_BYTES + ADDRESS.prefix),
    })).filter(({ address, prefixLength }) => isAddress(address, prefixLength)),
  };
}

function isAddress(address: string, prefixLength: number): boolean {
  const family = isIP(address);
  return family !== 0 && prefixLength <= (family === 4 ? 32 : 128);
}

function textAt(memory: Buffer, offset: number): string {
  const pointer = memory.readBigUInt64LE(offset);
  return pointer === 0n ? '' : readText(pointer);
}
