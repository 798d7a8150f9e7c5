import { macOf } from '../../core/resources/mac-address.ts';
import type { Machine } from '../../core/resources/machine.ts';
import { bridgeOf, type Network } from '../../core/resources/network.ts';
import { MACHINE, type SpecViolation } from './file-violations.ts';

/** What keeps a machine from being on its networks where there are these bridges. */
export function missingBridges(
  { networks = [] }: Machine,
  bridges: readonly string[],
): readonly SpecViolation[] {
  return networks.flatMap((network, index) => {
    const bridge = bridgeOf(network);
    if (network.type !== 'bridge' || bridges.includes(bridge)) return [];
    const field = network.bridge === undefined ? 'name' : 'bridge';
    const description = `is ${bridge}, and ${lackOf(bridge, bridges)}`;
    return { field: `${MACHINE}.networks[${index}].${field}`, description, reason: MISSING };
  });
}

/** That a node has no such bridge, and what to do, for people. */
function lackOf(bridge: string, bridges: readonly string[]): string {
  const what = `this node has no bridge of that name`;
  const make = `make ${bridge} on it (docs/networks.md) or choose another node`;
  return bridges.length === 0
    ? `${what} and no other; ${make}`
    : `${what}; name one that it has (${bridges.join(', ')}), ${make}`;
}

/** Addresses that were given and are those that other networks of the same VM get from the agent. */
export function sameAddresses(
  { networks = [] }: Machine,
  vmUid: string | undefined,
): readonly SpecViolation[] {
  if (vmUid === undefined) return [];
  const own = (network: Network) => macOf(vmUid, network);
  return networks.flatMap((network, index) => {
    const { mac } = network;
    if (mac === undefined) return [];
    const same = networks.find((other) => other.mac === undefined && own(other) === mac);
    if (same === undefined) return [];
    const description = `is the address that network ${JSON.stringify(same.name)} has from the agent; give another, or leave it out`;
    const field = `${MACHINE}.networks[${index}].mac`;
    return { field, description, reason: 'INVALID_SPEC' as const };
  });
}

const MISSING = 'NETWORK_NOT_FOUND' as const;
