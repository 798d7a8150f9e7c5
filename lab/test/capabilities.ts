import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { chooseAccelerator } from '../guest/kvm-probe.ts';

interface Lacking {
  /** Why the build machine lacks it, so that nobody tries again. */
  readonly because: string;
  /** Whether this machine has it all the same. */
  readonly isHere: () => boolean | Promise<boolean>;
}

const execute = promisify(execFile);
const NEVER = new AbortController().signal;

/**
 * What the build machine lacks: a virtual machine itself, whose kernel (6.18) has all that it can do built in. Only a
 * test that names one of these may be skipped, and only where it is not there. A new one needs a commit.
 */
const LACKING = {
  'loadable-modules': {
    because: 'its kernel is built without CONFIG_MODULES',
    isHere: () => existsSync('/proc/modules'),
  },
  'nfs-mount': {
    because: 'its kernel has no NFS client: mount says unknown filesystem type',
    isHere: async () => (await hasFilesystem('nfs4')) || (await hasModule('nfs')),
  },
  'device-mapper': {
    because: 'its kernel has no device mapper: there is no /dev/mapper/control',
    isHere: async () => existsSync('/dev/mapper/control') || (await hasModule('dm_mod')),
  },
  nbd: {
    because: 'its kernel is built without CONFIG_BLK_DEV_NBD; NBD in user space works',
    isHere: async () => existsSync('/dev/nbd0') || (await hasModule('nbd')),
  },
  rbd: {
    because: 'its kernel is built without CONFIG_BLK_DEV_RBD, and there is no Ceph',
    isHere: async () => existsSync('/sys/bus/rbd') || (await hasModule('rbd')),
  },
  'vhost-net': {
    because: 'its kernel is built without CONFIG_VHOST_NET; taps work with vhost=off',
    isHere: async () => existsSync('/dev/vhost-net') || (await hasModule('vhost_net')),
  },
  'vhost-vsock': {
    because: 'its kernel is built without CONFIG_VHOST_VSOCK',
    isHere: async () => existsSync('/dev/vhost-vsock') || (await hasModule('vhost_vsock')),
  },
  '8021q': {
    because: 'its kernel is built without CONFIG_VLAN_8021Q: ip says unknown device type',
    isHere: async () =>
      succeedsApart('ip link add v0 type veth && ip link add link v0 type vlan id 2'),
  },
  'bridge-vlan-filtering': {
    because: 'its kernel has bridges without CONFIG_BRIDGE_VLAN_FILTERING',
    isHere: async () => succeedsApart('ip link add b0 type bridge vlan_filtering 1'),
  },
  netem: {
    because: 'its kernel is built without CONFIG_NET_SCH_NETEM; tbf and htb can slow a link',
    isHere: async () => succeedsApart('tc qdisc add dev lo root netem delay 1ms'),
  },
  'cgroup-v2': {
    because: 'its controllers are mounted as cgroup v1',
    isHere: () => existsSync('/sys/fs/cgroup/cgroup.controllers'),
  },
  'kvm-guests': {
    because: '/dev/kvm opens and makes VMs, but no Linux guest boots in one; TCG is used',
    isHere: async () => (await chooseAccelerator(NEVER)).accelerator === 'kvm',
  },
} as const satisfies Record<string, Lacking>;

export type Capability = keyof typeof LACKING;

export const CAPABILITIES = Object.keys(LACKING) as Capability[];

/** For the `skip` of a test: false where the capability is there, else why the test is skipped. */
export async function needs(capability: Capability): Promise<string | false> {
  const { because, isHere } = LACKING[capability];
  return (await isHere())
    ? false
    : `needs ${capability}, which the build machine lacks: ${because}`;
}

/** The capability for whose lack a test was skipped; undefined if the reason is another one. */
export function findCapability(reason: string): Capability | undefined {
  const name = /^needs ([\w-]+), which/.exec(reason)?.[1];
  return CAPABILITIES.find((capability) => capability === name);
}

async function hasFilesystem(name: string): Promise<boolean> {
  return (await readFile('/proc/filesystems', 'utf8')).split(/\s+/).includes(name);
}

async function hasModule(name: string): Promise<boolean> {
  return succeeds('modprobe', ['--dry-run', '--quiet', name]);
}

/** Whether a command works in a network of its own. */
async function succeedsApart(script: string): Promise<boolean> {
  return succeeds('unshare', ['--net', 'sh', '-c', script]);
}

async function succeeds(program: string, args: readonly string[]): Promise<boolean> {
  return execute(program, [...args]).then(
    () => true,
    () => false,
  );
}
