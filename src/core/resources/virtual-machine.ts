import * as z from '../zod.ts';
import { annotations, bitRate, choice, labels } from './field-schemas.ts';
import { machine } from './machine.ts';
import { objectMeta } from './object-meta.ts';
import { specProblems } from './virtual-machine-rules.ts';
import { virtualMachineStatus } from './virtual-machine-status.ts';

const RUN_STRATEGIES = ['Always', 'RerunOnFailure', 'Once', 'Manual', 'Halted'] as const;
export type RunStrategy = (typeof RUN_STRATEGIES)[number];

const migrationPolicy = z.strictObject({
  allowLiveMigration: z.boolean().default(true).meta({
    description: 'It may be moved while it runs.',
  }),
  compression: z.boolean().default(true).meta({
    description: 'Its memory is compressed on the way.',
  }),
  encrypted: z
    .boolean()
    .default(true)
    .meta({
      description: 'Its memory is encrypted on the way. The nodes are authenticated in any case.',
      notSupportedValues: { false: 'every migration is encrypted; leave it out' },
    }),
  bandwidth: bitRate.optional().meta({
    description:
      "The most that one migration may send, in bits a second, such as `1Gbps`; the node's default if left out.",
  }),
});

const snapshotPolicy = z.strictObject({
  schedule: z.string().min(1).meta({ description: 'In the form of cron, such as `0 2 * * *`.' }),
  retention: z
    .int()
    .min(1, 'must be 1 or more')
    .optional()
    .meta({ description: 'How many are kept; 7 if left out.' }),
});

const updateStrategy = z.strictObject({
  type: choice('UPDATE_STRATEGY_TYPE', ['RollingUpdate', 'Recreate'])
    .default('RollingUpdate')
    .meta({
      description: 'At the next start, or at once by stopping it.',
      notSupportedValues: {
        Recreate: 'the agent restarts no VM by itself; leave it out and restart the VM',
      },
    }),
  rollingUpdate: z
    .strictObject({
      maxUnavailable: z
        .union([z.int().min(0), z.string().regex(/^(\d{1,6}|\d{1,3}%)$/)], {
          error: 'must be a number or a share such as 25%',
        })
        .transform(String)
        .optional()
        .meta({
          description: 'VMs that may be off, or a share such as `25%`; 1 if left out.',
        }),
    })
    .optional()
    .meta({
      description: 'Limits of a rolling update.',
      notApplicable: 'it is about several VMs of one template',
    }),
});

/** `spec` of a VM, each field by itself. */
const specShape = z.strictObject({
  running: z.boolean().optional().meta({
    description: 'Shorthand: true is runStrategy Always, false Halted. Only one of the two.',
  }),
  runStrategy: choice('RUN_STRATEGY', RUN_STRATEGIES).optional().meta({
    description:
      'Always: started again whenever it stops by itself. RerunOnFailure: when it fails, not when its guest powers off. Once: started when it is made. Manual: by a caller only. Halted: off. Always if left out.',
  }),
  template: z
    .strictObject({
      metadata: z
        .strictObject({
          labels: labels.optional().meta({ description: 'Labels for what runs in it.' }),
          annotations: annotations.optional().meta({ description: 'Free notes.' }),
        })
        .optional()
        .meta({ description: 'Metadata of the template.' }),
      spec: machine.meta({ description: 'The machine itself.' }),
    })
    .meta({ description: 'The machine, as a template that a pool can make several of.' }),
  migrationPolicy: migrationPolicy.optional().meta({ description: 'How it may be moved.' }),
  snapshotPolicy: snapshotPolicy.optional().meta({
    description: 'When snapshots are taken by themselves.',
    notSupported: 'the agent takes no snapshots yet; leave it out',
  }),
  updateStrategy: updateStrategy.optional().meta({
    description: 'How changes that need a restart are brought about.',
  }),
});

/** `spec` of a VM. */
const virtualMachineSpec = specShape.check((context) => {
  for (const { path, message } of specProblems(context.value)) {
    context.issues.push({ code: 'custom', path: [...path], message, input: context.value });
  }
});

/** What was accepted once, perhaps by rules that have changed since: the fields alone count. */
export const storedVirtualMachine = z.strictObject({ metadata: objectMeta, spec: specShape });

/** A VM, as a manifest and as the API has it. */
export const virtualMachine = z.strictObject({
  metadata: objectMeta.meta({ description: 'Identity.' }),
  spec: virtualMachineSpec.meta({ description: 'What it should be.' }),
  status: virtualMachineStatus.optional().meta({ description: 'What it is. Output only.' }),
});

/** What a user asks a VM to be, defaults filled in, quantities as written. */
export type VmSpec = z.output<typeof virtualMachineSpec>;
