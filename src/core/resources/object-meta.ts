import * as z from '../zod.ts';
import { annotations, dnsLabel, labels, uuid } from './field-schemas.ts';

/** Identity and bookkeeping of an object, as Kubernetes' ObjectMeta has it. */
export const objectMeta = z.strictObject({
  name: dnsLabel.meta({ description: 'Unique within the namespace.' }),
  namespace: dnsLabel.default('default').meta({ description: 'Namespace.' }),
  uid: uuid.optional().meta({
    description:
      'UUID in lower case. Made by the agent if left out; the same uid means the same VM.',
  }),
  labels: labels.optional().meta({ description: 'Labels for selecting, at most 64.' }),
  annotations: annotations.optional().meta({ description: 'Free notes, at most 256 KiB in all.' }),
  generation: z.int().optional().meta({
    leaf: 'generation',
    description: 'Raised by one whenever labels, annotations or the spec change. Output only.',
  }),
  creationTimestamp: z
    .string()
    .optional()
    .meta({ leaf: 'timestamp', description: 'When it was made. Output only.' }),
});

export type ObjectMeta = z.output<typeof objectMeta>;

/** What other servers write there, for files that come from `kubectl get -o yaml`: ignored. */
export const FOREIGN_METADATA = [
  'resourceVersion',
  'managedFields',
  'selfLink',
  'deletionTimestamp',
  'finalizers',
  'ownerReferences',
] as const;
