import { createHash } from 'node:crypto';
import path from 'node:path';
import { inProject } from '../core/project.ts';

/** All labs of this machine; short, because a unix socket's path may have 107 bytes. */
export const LABS_DIRECTORY = '/run/novacron-lab';

/** The lab of `./dev up`. */
export const DEFAULT_LAB = 'lab';

export type NodeName = 'a' | 'b';

/** Where everything of a lab is; follows from its name alone. */
export interface LabPlan {
  readonly name: string;
  /** Sockets, logs and settings. The same path inside and outside of the nodes. */
  readonly directory: string;
  /** Large files, on disk. */
  readonly storage: string;
  /** Disk images that all nodes see under this path. */
  readonly sharedImages: string;
  readonly nodes: readonly NodePlan[];
}

export interface NodePlan {
  readonly name: NodeName;
  readonly hostname: string;
  /** The node's private folders: `run` is its /run, `var/lib/libvirt` its /var/lib/libvirt and so on. */
  readonly directory: string;
  /** Of the whole lab: what both nodes see under this path. */
  readonly sharedImages: string;
  readonly address: string;
  readonly prefixLength: number;
  readonly bridge: BridgePlan;
}

/** The node on the network of the VMs. */
interface BridgePlan {
  readonly address: string;
  readonly prefixLength: number;
  readonly mac: string;
  /** What guests are given by DHCP, the same on all nodes: there is one server. */
  readonly leases: { readonly first: string; readonly last: string };
}

export function planLab(name: string, nodes: readonly NodeName[]): LabPlan {
  const directory = path.join(LABS_DIRECTORY, name);
  const storage = inProject('.lab', name);
  const sharedImages = path.join(storage, 'images');
  const addresses = addressesOf(name);
  return {
    name,
    directory,
    storage,
    sharedImages,
    nodes: nodes.map((node) => ({
      name: node,
      hostname: `${name}-${node}`,
      directory: path.join(directory, node),
      sharedImages,
      address: addresses[node],
      prefixLength: 30,
      bridge: bridgeOf(name, node),
    })),
  };
}

/** One of the four million /30 networks in 10.0.0.0/8. */
function addressesOf(name: string): Record<NodeName, string> {
  const network = networkOf(name);
  const at = (host: number): string =>
    `10.${network >> 16}.${(network >> 8) & 255}.${(network & 255) + host}`;
  return { a: at(1), b: at(2) };
}

/** A /24 network in 10.0.0.0/8 in which the /30 of the lab is not. */
function bridgeOf(name: string, node: NodeName): BridgePlan {
  const network = networkOf(name);
  const [second, third] = [(network >> 16) ^ 0x80, (network >> 8) & 255];
  const at = (host: number): string => `10.${second}.${third}.${host}`;
  const host = { a: 1, b: 2 }[node];
  return {
    address: at(host),
    prefixLength: 24,
    mac: `02:00:${[10, second, third, host].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`,
    leases: { first: at(100), last: at(250) },
  };
}

function networkOf(name: string): number {
  return createHash('sha256').update(name).digest().readUInt32BE() & 0x00_ff_ff_fc;
}
