import { posix } from 'node:path';
import { DNS_LABEL, DNS_LABEL_RULE } from '../dns-label.ts';
import {
  parseBitRate,
  parseBytes,
  parseMilliCpus,
  similarBitRate,
  similarBytes,
} from '../quantity.ts';
import * as z from '../zod.ts';
import type { LeafForm } from './message-form.ts';

/** What the schema of a field says beside its type; read by the mapping, the checks of support and the reference. */
export interface FieldMeta {
  /** For people; becomes the reference and the CRD's description. */
  readonly description?: string;
  /** The leaf's form in messages where its type does not tell; a generation or epoch of 0 is none. */
  readonly leaf?: Exclude<LeafForm, 'plain' | 'map'>;
  /** Start of the names of the enum's values in the API, such as `VOLUME_BUS`. */
  readonly enumPrefix?: string;
  /** Name of the oneof that an object of alternatives is in the API. */
  readonly oneof?: string;
  /** Why the agent refuses the field: it cannot carry it out yet, or only a cluster can. */
  readonly notSupported?: string;
  /** Values that the agent refuses, with why. */
  readonly notSupportedValues?: Readonly<Record<string, string>>;
  /** The same for texts that begin so. */
  readonly notSupportedPrefixes?: Readonly<Record<string, string>>;
  /** Kept, but without a meaning on one node; said in a warning. */
  readonly notApplicable?: string;
}

/** Linux' PATH_MAX without the closing NUL. */
const MAX_PATH_BYTES = 4095;
const LABEL_NAME = /^[A-Za-z0-9]([\w.-]{0,61}[A-Za-z0-9])?$/;
const DNS_SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const MAX_PREFIX = 253;
const MAX_LABELS = 64;
const MAX_ANNOTATIONS_BYTES = 256 * 1024;
const NAME_RULE = '1 to 63 letters, digits, ".", "_" or "-" with a letter or digit at both ends';
const KEY_RULE = `must have a key of ${NAME_RULE}, optionally after a DNS name and a slash`;

export const dnsLabel = z.string().regex(DNS_LABEL, `must be ${DNS_LABEL_RULE}`);

/** RFC 9562 in lower case. libvirt refuses one of sixteen equal bytes, such as the nil UUID. */
export const uuid = z
  .string()
  .refine(
    (text) =>
      /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text) &&
      new Set(text.replaceAll('-', '')).size > 1,
    'must be a lower-case UUID with more than one digit in it, such as /proc/sys/kernel/random/uuid has',
  );

/** A path on the node that means one file and no other. */
export const absolutePath = z.string().check((context) => {
  const problem = pathProblem(context.value);
  if (problem !== undefined) {
    context.issues.push({ code: 'custom', message: problem, input: context.value });
  }
});

function pathProblem(path: string): string | undefined {
  if (path === '') return 'must not be empty';
  if (/\p{Cc}/u.test(path) || !path.isWellFormed() || /[\ufffe\uffff]/.test(path)) {
    return 'must not contain control or invalid characters';
  }
  if (!path.startsWith('/')) return 'must be an absolute path';
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) return `must be at most ${MAX_PATH_BYTES} bytes`;
  if (posix.normalize(path) !== path || path.endsWith('/') || path.startsWith('//')) {
    return 'must be a plain path to a file, without "..", ".", "//" or a slash at the end';
  }
  return undefined;
}

/** Text of one line that XML and command lines can carry. */
export function line(maxBytes: number) {
  return z
    .string()
    .refine((text) => !/\p{Cc}/u.test(text), 'must not contain control characters')
    .refine((text) => text.isWellFormed() && !/[\ufffe\uffff]/.test(text), 'must be valid Unicode')
    .refine((text) => Buffer.byteLength(text) <= maxBytes, `must be at most ${maxBytes} bytes`);
}

/** Text, also where it is not quoted and YAML takes it for a number, such as the name of node `1001`. */
export const unquotedText = z
  .union([z.string(), z.number(), z.boolean()], 'must be text')
  .transform(String);

/** A number or text as written; always text from here on. */
function quantity(
  parse: (text: string) => unknown,
  example: string,
  similar: (text: string) => string | undefined = () => undefined,
) {
  const rule = `must be a quantity such as ${example}`;
  return z
    .union([z.string(), z.number().min(0)], {
      error: ({ input }) => (input === undefined ? 'is required' : rule),
    })
    .transform(String)
    .refine((text) => parse(text) !== undefined, {
      error: ({ input }) => {
        const meant = similar(String(input));
        return meant === undefined ? rule : `${rule}; did you mean ${meant}?`;
      },
    });
}

export const bytesQuantity = quantity(parseBytes, '512Mi or 2Gi', similarBytes);
export const cpuQuantity = quantity(parseMilliCpus, '2 or 1500m');
export const bitRate = quantity(parseBitRate, '1Gbps or 250Mbps', similarBitRate);

export const labels = z.record(z.string(), z.string()).check((context) => {
  const entries = Object.entries(context.value);
  const report = (path: PropertyKey[], message: string): void => {
    context.issues.push({ code: 'custom', path, message, input: context.value });
  };
  if (entries.length > MAX_LABELS) {
    report([], `must be at most ${MAX_LABELS}, not ${entries.length}`);
  }
  for (const [key, value] of entries) {
    if (!isQualifiedName(key)) report([key], KEY_RULE);
    if (value !== '' && !LABEL_NAME.test(value)) {
      report([key], `has a value that is not empty and not ${NAME_RULE}`);
    }
  }
});

export const annotations = z.record(z.string(), z.string()).check((context) => {
  let bytes = 0;
  for (const [key, value] of Object.entries(context.value)) {
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
    // Kubernetes lets annotations, but not labels, have upper-case prefixes.
    if (!isQualifiedName(key.toLowerCase())) {
      context.issues.push({ code: 'custom', path: [key], message: KEY_RULE, input: value });
    }
  }
  if (bytes > MAX_ANNOTATIONS_BYTES) {
    const message = `must be at most ${MAX_ANNOTATIONS_BYTES} bytes in all, not ${bytes}`;
    context.issues.push({ code: 'custom', message, input: context.value });
  }
});

function isQualifiedName(key: string): boolean {
  const [name = '', prefix, ...others] = key.split('/').toReversed();
  if (others.length > 0 || !LABEL_NAME.test(name)) return false;
  return prefix === undefined || (prefix.length <= MAX_PREFIX && DNS_SUBDOMAIN.test(prefix));
}

/** An enum with the start of its values' names in the API. */
export function choice<const Values extends readonly [string, ...string[]]>(
  enumPrefix: string,
  values: Values,
  meta: FieldMeta = {},
) {
  const last = values.at(-1) ?? '';
  const others = values.slice(0, -1).join(', ');
  return z
    .enum(values, `must be ${others === '' ? last : `${others} or ${last}`}`)
    .meta({ ...meta, enumPrefix });
}

/** What a schema says of its field, through optionals and defaults; the outermost word counts. */
export function metaOf(schema: z.core.$ZodType): FieldMeta {
  const own = (z.globalRegistry.get(schema) ?? {}) as FieldMeta;
  const inner = unwrapOnce(schema);
  return inner === undefined ? own : { ...metaOf(inner), ...own };
}

/** The schema within optionals and defaults. */
export function bare(schema: z.core.$ZodType): z.core.$ZodType {
  const inner = unwrapOnce(schema);
  return inner === undefined ? schema : bare(inner);
}

function unwrapOnce(schema: z.core.$ZodType): z.core.$ZodType | undefined {
  return schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
    ? schema.unwrap()
    : undefined;
}
