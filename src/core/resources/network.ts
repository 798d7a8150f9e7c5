import * as z from '../zod.ts';
import { choice, dnsLabel } from './field-schemas.ts';
import { macProblem } from './mac-address.ts';

/** A machine has no more places than these for what stands on its bus. */
export const MAX_NETWORKS = 16;
/** QEMU takes more; a guest uses no more than it has CPUs. */
const MAX_QUEUES = 64;

const ONLY_BRIDGES =
  'the agent can only attach to bridges of the node yet; choose the type bridge, or leave the network out';

const ipv4 = z.strictObject({
  method: choice('IPV4_METHOD', ['dhcp', 'static'])
    .default('dhcp')
    .meta({
      description: 'Where the address comes from.',
      notSupportedValues: {
        static:
          'the agent gives out no addresses yet; leave ipv4 out and write the address into cloudInit.networkConfig, from where the guest sets it itself',
      },
    }),
  address: z
    .cidrv4('must be an address with its prefix length, such as 10.0.1.10/24')
    .optional()
    .meta({ description: 'Address with prefix length; with static.' }),
  gateway: z
    .ipv4('must be an IPv4 address')
    .optional()
    .meta({ description: 'Default gateway; with static.' }),
});

const macAddress = z
  .string('must be a MAC address in quotes, such as "52:54:00:12:34:56"')
  .check((context) => {
    const problem = macProblem(context.value);
    if (problem !== undefined) {
      context.issues.push({ code: 'custom', message: problem, input: context.value });
    }
  })
  .overwrite((text) => text.toLowerCase());

/** An interface of a machine, and what it is connected to. */
export const network = z.strictObject({
  name: dnsLabel.meta({ description: 'Name of the network, unique within the VM.' }),
  type: choice('NETWORK_TYPE', ['bridge', 'ovs', 'overlay', 'sr-iov', 'macvlan'])
    .optional()
    .meta({
      description: 'How it is attached. Required: `bridge`, which is a Linux bridge of the node.',
      notSupportedValues: {
        ovs: ONLY_BRIDGES,
        overlay: ONLY_BRIDGES,
        'sr-iov': ONLY_BRIDGES,
        macvlan: ONLY_BRIDGES,
      },
    }),
  ipv4: ipv4.optional().meta({
    description: 'Its IPv4 address: the guest asks for it by DHCP, whoever answers on the bridge.',
  }),
  bridge: z
    .string()
    .regex(
      // What Linux takes for an interface, as far as libvirt does.
      /^(?!\.\.?$)[A-Za-z0-9_.-]{1,15}$/,
      'must be the name of a bridge of the node, such as br0: 1 to 15 letters, digits, "_", "." or "-"',
    )
    .optional()
    .meta({
      description:
        'The bridge on the node; on every node that the VM is to run on there must be one of this name. The name of the network if left out.',
    }),
  mac: macAddress.optional().meta({
    description:
      "MAC address of the guest's interface, such as `52:54:00:12:34:56`. If left out, the agent derives one from the VM's uid and the name of the network, which stays the same wherever the VM goes.",
  }),
  model: choice('INTERFACE_MODEL', ['virtio', 'e1000e']).optional().meta({
    description:
      'What the guest sees: virtio, unless given, or an Intel card for guests that lack its driver.',
  }),
  link: choice('LINK_STATE', ['up', 'down']).optional().meta({
    description:
      'Whether the guest sees a link, as if its cable were plugged in; changed while it runs. up if left out, and what somebody else has set stays.',
  }),
  queues: z
    .int()
    .min(1, 'must be 1 or more')
    .max(MAX_QUEUES, `must be at most ${MAX_QUEUES}`)
    .optional()
    .meta({
      description: `Pairs of queues, 1 to ${MAX_QUEUES}, so that several CPUs of the guest send and receive at once; 1 if left out. More than the guest has CPUs are of no use. With virtio.`,
    }),
});

export type Network = z.output<typeof network>;
export type InterfaceModel = NonNullable<Network['model']>;

/** The bridge of the node that a network is attached to. */
export function bridgeOf({ bridge, name }: Pick<Network, 'bridge' | 'name'>): string {
  return bridge ?? name;
}

export function modelOf({ model }: Pick<Network, 'model'>): InterfaceModel {
  return model ?? 'virtio';
}
