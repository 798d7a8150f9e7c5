import * as z from '../zod.ts';

/** Far less than the kernel takes. */
const MAX_ARGUMENTS = 64;
const MAX_ARGUMENT_BYTES = 4096;
/** Of one that does not say. */
const DEFAULT_TIMEOUT_SECONDS = 30;

const hook = z.strictObject({
  exec: z
    .strictObject({
      command: z
        .array(
          z
            .string()
            .refine(
              (text) =>
                text.isWellFormed() &&
                !text.includes('\0') &&
                Buffer.byteLength(text) <= MAX_ARGUMENT_BYTES,
              `must be valid Unicode without NUL, of at most ${MAX_ARGUMENT_BYTES} bytes`,
            ),
        )
        .min(1, 'must name a program')
        .max(MAX_ARGUMENTS, `must be at most ${MAX_ARGUMENTS}`)
        .refine(
          ([program]) => program === undefined || program.startsWith('/'),
          'must begin with the absolute path of a program of the node, such as /etc/novacron/hooks/lease; no shell reads it',
        )
        .meta({
          description: `The absolute path of a program in the node's folder of hooks, and its arguments, ${MAX_ARGUMENTS} in all; no shell reads them.`,
        }),
      timeoutSeconds: z
        .int()
        .min(1, 'must be 1 or more')
        .max(86_400, 'must be at most 86400')
        .optional()
        .meta({
          description: `How long it may take, 1 to 86400; ${DEFAULT_TIMEOUT_SECONDS} if left out.`,
        }),
    })
    .meta({ description: 'The program to run.' }),
});

export const lifecycle = z.strictObject({
  preStart: hook.optional().meta({
    description: 'Before it is started; if it fails, the VM is not started.',
  }),
  postStart: hook.optional().meta({
    description: 'Once it was started; if it fails, that is told and changes nothing.',
  }),
  preStop: hook.optional().meta({
    description:
      'Before its guest is asked to power off, which it then is whatever came of this. Not before its power is cut.',
  }),
});

export type Lifecycle = z.output<typeof lifecycle>;
export type Hook = z.output<typeof hook>;

/** How long a hook may take. */
export function hookTimeoutMs({ exec }: Hook): number {
  return (exec.timeoutSeconds ?? DEFAULT_TIMEOUT_SECONDS) * 1_000;
}
