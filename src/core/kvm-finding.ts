import * as z from './zod.ts';

/** Whether guests boot with KVM, as the agent keeps it in its state directory. */
export const KVM_FINDING_FILE = 'kvm-boots.json';

export const kvmFindingSchema = z.object({
  /** Of which it holds: the boot of the host, its kernel and the QEMU that was tried, a line each. */
  key: z.string(),
  foundAtMs: z.number(),
  boots: z.boolean(),
  why: z.string(),
});
