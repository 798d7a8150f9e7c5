import * as z from '../zod.ts';

/** Of a file in the node's folder of secrets, or of a secret that comes with the request. */
export const secretName = z
  .string()
  .regex(
    /^[A-Za-z0-9][\w.-]{0,63}$/,
    'must be the name of a secret: 1 to 64 letters, digits, ".", "_" or "-"',
  );
