import * as z from '../zod.ts';
import { choice } from './field-schemas.ts';

const VM_PHASES = [
  'Pending',
  'Running',
  'Paused',
  'Stopping',
  'Stopped',
  'Migrating',
  'Failed',
  'Unknown',
] as const;

const usage = z.strictObject({
  used: z.string().optional().meta({ description: 'In use.' }),
  available: z.string().optional().meta({ description: 'What the VM has in all.' }),
});

/** Told whenever what it belongs to is. */
const count = (description: string) => z.int().meta({ leaf: 'int64', description });

const generation = (description: string) =>
  z.int().optional().meta({ leaf: 'generation', description });

/** Any value that a manifest may have. */
const value = (description: string) => z.unknown().optional().meta({ leaf: 'value', description });

const condition = z.strictObject({
  type: z.string().optional().meta({ description: 'Kind of the condition.' }),
  status: choice('CONDITION_STATUS', ['True', 'False', 'Unknown']).optional().meta({
    description: 'Whether it holds.',
  }),
  reason: z.string().optional().meta({ description: 'Why, in one CamelCase word, for programs.' }),
  message: z.string().optional().meta({ description: 'Why, in a sentence, for people.' }),
  lastTransitionTime: z
    .string()
    .optional()
    .meta({ leaf: 'timestamp', description: 'When status last changed.' }),
  observedGeneration: generation('The generation of the spec that it speaks of.'),
});

const origin = z.strictObject({
  nodeName: z.string().optional().meta({ description: 'Name of the node that reports.' }),
  nodeBootId: z.string().optional().meta({ description: 'Boot id of the node.' }),
  agentEpoch: count('Raised by one at every start of the agent.'),
  revision: count('Counts changes seen by this agent since it started.'),
});

/** `status` of a VM: what it is. */
export const virtualMachineStatus = z.strictObject({
  phase: choice('VIRTUAL_MACHINE_PHASE', VM_PHASES).optional().meta({
    description:
      'Where it stands in its life. Unknown means that the hypervisor cannot say; the VM may be running.',
  }),
  reason: z.string().optional().meta({ description: 'Why, in one CamelCase word, for programs.' }),
  message: z.string().optional().meta({ description: 'Why, in a sentence, for people.' }),
  nodeName: z.string().optional().meta({ description: 'The node that it is on.' }),
  ipAddresses: z
    .array(z.string())
    .optional()
    .meta({ description: 'Addresses of the guest, where known.' }),
  resources: z
    .strictObject({
      cpu: usage.optional().meta({ description: 'CPUs.' }),
      memory: usage.optional().meta({ description: 'Memory of the node.' }),
    })
    .optional()
    .meta({
      description: 'What it uses of what it has; not there while it is off, busy or unknown.',
    }),
  conditions: z.array(condition).optional().meta({ description: 'Aspects of its state.' }),
  migration: z
    .strictObject({
      id: z.string().optional().meta({ description: 'Its id.' }),
      targetNode: z.string().optional().meta({ description: 'The node that the VM goes to.' }),
      startTime: z
        .string()
        .optional()
        .meta({ leaf: 'timestamp', description: 'When it was asked for.' }),
      progress: z.int().meta({ description: 'Share of the work done, in percent.' }),
    })
    .optional()
    .meta({ description: 'The migration that it is part of.' }),
  observedGeneration: generation('Generation of the spec that is defined.'),
  pendingFields: z
    .array(z.string())
    .optional()
    .meta({ description: 'Fields of the spec that are not in force yet.' }),
  pendingChanges: z
    .array(
      z.strictObject({
        field: z.string().optional().meta({ description: 'As the manifest writes it.' }),
        live: value('In force now; not there where it is not set.'),
        wanted: value('In force once it waits no more.'),
        waitsFor: choice('PENDING_CHANGE_WAIT', ['restart', 'guest', 'agent']).optional().meta({
          description:
            'What it waits for: the next start; its guest, which was asked; the agent, which is about to make it or tries again.',
        }),
        since: z
          .string()
          .optional()
          .meta({ leaf: 'timestamp', description: 'Since when its guest was asked.' }),
        message: z.string().optional().meta({
          description: 'Why the agent could not make it while the VM runs.',
        }),
      }),
    )
    .optional()
    .meta({ description: 'What each of these is now, is to be, and waits for.' }),
  ownershipEpoch: generation(
    'Raised at every switchover of a migration; the highest one owns the VM.',
  ),
  accelerator: z.string().optional().meta({ description: '`kvm` or `tcg`.' }),
  machineType: z.string().optional().meta({ description: 'Machine type it really has.' }),
  statistics: z
    .strictObject({
      cpuTimeNs: count('CPU time used, in nanoseconds.'),
      cpuUsageCores: z
        .number()
        .meta({ description: 'CPU use over the last sampling interval, in cores.' }),
      vcpus: z.int().meta({ description: 'Virtual CPUs online.' }),
      memoryActualBytes: count('Memory that the guest has now, in bytes.'),
      memoryRssBytes: count('Memory of the node that the VM really takes, in bytes.'),
      diskReadBytes: count('Bytes read from all disks.'),
      diskWriteBytes: count('Bytes written to all disks.'),
      networkReceiveBytes: count('Bytes received by all interfaces.'),
      networkTransmitBytes: count('Bytes sent by all interfaces.'),
    })
    .optional()
    .meta({ description: 'Live statistics.' }),
  volumes: z
    .array(
      z.strictObject({
        name: z.string().optional().meta({ description: "Name of the spec's volume." }),
        target: z.string().optional().meta({ description: 'Guest device such as vda.' }),
        path: z.string().optional().meta({ description: 'Path on the node.' }),
        format: z.string().optional().meta({ description: 'Format that QEMU reads it in.' }),
        ejected: z.boolean().optional().meta({
          description:
            'Its guest has ejected what the spec names: the drive stays empty until that is put back with `novactl vm insert`, or the spec names another.',
        }),
        size: z.string().optional().meta({
          description:
            'Size that was asked for, in whole sectors; only of disks that the agent has made.',
        }),
        virtualSize: z.string().optional().meta({
          description:
            'Size that the guest sees, as QEMU says while it runs; of a VM that is off only where the sizes were asked for, as `novactl vm get` and `describe` do.',
        }),
        allocated: z.string().optional().meta({
          description:
            "What it takes on the node's storage now, without the image that it stands on; not there where `virtualSize` is not.",
        }),
        imageSource: z.string().optional().meta({
          description:
            'Where the image was found that it was made from, without what signs the address.',
        }),
        imageDigest: z
          .string()
          .optional()
          .meta({ description: 'Digest of that image, `sha256:` and 64 hexadecimal digits.' }),
      }),
    )
    .optional()
    .meta({ description: 'Its volumes as the hypervisor has them.' }),
  interfaces: z
    .array(
      z.strictObject({
        name: z.string().optional().meta({
          description:
            "Name of the spec's network; of an interface that was added with other tools what it is connected to.",
        }),
        mac: z.string().optional().meta({ description: 'MAC address.' }),
        bridge: z.string().optional().meta({
          description:
            'The bridge on the node; not there for one that is connected in another way.',
        }),
        model: z.string().optional().meta({ description: 'What the guest sees.' }),
        hostDevice: z.string().optional().meta({
          description:
            "The host's end of it, such as `vnet3`, as `ip link` and `tcpdump` call it. Not there while the VM is off.",
        }),
        link: choice('LINK_STATE', ['up', 'down']).optional().meta({
          description:
            'Whether the guest sees a link; not there where nobody has said, which is up.',
        }),
      }),
    )
    .optional()
    .meta({ description: 'Its network interfaces as the hypervisor has them.' }),
  kept: z.array(z.string()).optional().meta({
    description:
      'What of a VM that was [adopted](../adopt.md) no manifest can say: it stays as it is. Each in a few words.',
  }),
  given: z
    .strictObject({
      cpus: z.int().meta({ description: 'CPUs that it has been given.' }),
      cpusOnline: z.int().optional().meta({
        description:
          'How many of them its guest says that it uses; not there where it uses all, or has not been asked.',
      }),
      memory: z
        .string()
        .optional()
        .meta({ description: 'Memory that it has been given, such as `4Gi`.' }),
      memoryActual: z.string().optional().meta({
        description:
          'What its guest has of that now: less where its balloon has taken some, or it has not taken all yet. Not there if unknown.',
      }),
    })
    .optional()
    .meta({
      description:
        'What it has been given that can be changed while it runs; not there while it is off.',
    }),
  runningSince: z.string().optional().meta({
    leaf: 'timestamp',
    description:
      'Since when its guest has been on, on whichever node, by the clock of the node that has started it; of one that was started by other means than an agent, since it was seen to come on here. Not there while it is off or unknown.',
  }),
  restart: z
    .strictObject({
      attempts: z.int().meta({
        description: 'Starts in a row that have not kept it on for ten minutes.',
      }),
      failedStarts: z.int().meta({ description: 'How many of the last of these have failed.' }),
      nextStartTime: z
        .string()
        .optional()
        .meta({ leaf: 'timestamp', description: 'When it is started again, if that is planned.' }),
      lastFailure: z.string().optional().meta({ description: 'Why the last start failed.' }),
    })
    .optional()
    .meta({ description: 'How it fares with being started again by itself.' }),
  origin: origin
    .optional()
    .meta({ description: 'Where this report comes from, and how new it is.' }),
});
