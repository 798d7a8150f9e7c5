import { parseBytes } from '../quantity.ts';
import * as z from '../zod.ts';
import { bytesQuantity } from './field-schemas.ts';
import type { SpecProblem } from './spec-problem.ts';

/** What QEMU can count in one burst is a thousand times that. */
const MAX_BYTES = 10n ** 12n;
const MAX_IOPS = 10 ** 9;
const MAX_BURST_SECONDS = 600;

const iops = z
  .int()
  .min(1, 'must be 1 or more; leave it out for no limit')
  .max(MAX_IOPS, `must be at most ${MAX_IOPS}`);

function limits(what: string) {
  return {
    totalBytesPerSecond: bytesQuantity
      .optional()
      .meta({ description: `${what} of reading and writing together, such as 100Mi.` }),
    readBytesPerSecond: bytesQuantity.optional().meta({ description: `${what} of reading.` }),
    writeBytesPerSecond: bytesQuantity.optional().meta({ description: `${what} of writing.` }),
    totalIops: iops
      .optional()
      .meta({ description: `${what} of reading and writing together, in requests a second.` }),
    readIops: iops.optional().meta({ description: `${what} of reading, in requests a second.` }),
    writeIops: iops.optional().meta({ description: `${what} of writing, in requests a second.` }),
  };
}

/** Limits of a disk. */
export const ioLimits = z.strictObject({
  ...limits('Limit'),
  burst: z
    .strictObject({
      ...limits('Limit for a while'),
      seconds: z
        .int()
        .min(1, 'must be 1 or more')
        .max(MAX_BURST_SECONDS, `must be at most ${MAX_BURST_SECONDS}`)
        .optional()
        .meta({ description: 'How long a while is; 1 if left out.' }),
    })
    .optional()
    .meta({
      description:
        'What it may do for a while that has done less before; each needs the lasting limit of its name.',
    }),
});

export type IoLimits = z.output<typeof ioLimits>;
export type IoLimit = Exclude<keyof IoLimits, 'burst'>;

export const IO_LIMITS = Object.keys(limits('')) as readonly IoLimit[];

/** In bytes, or requests, a second; undefined for none. */
export function limitOf(
  of: Readonly<Partial<Record<IoLimit, string | number | undefined>>>,
  limit: IoLimit,
): bigint | undefined {
  const value = of[limit];
  if (value === undefined) return undefined;
  return typeof value === 'number' ? BigInt(value) : parseBytes(value);
}

/** What is wrong between the fields of limits that are right each by itself. */
export function* ioLimitProblems(all: IoLimits): Generator<SpecProblem> {
  const { burst, ...lasting } = all;
  if (IO_LIMITS.every((limit) => lasting[limit] === undefined)) {
    yield { path: [], message: 'must have a limit; leave it out for none' };
  }
  yield* alternatives(lasting, []);
  if (burst === undefined) return;
  const { seconds: _, ...bursts } = burst;
  yield* alternatives(bursts, ['burst']);
  if (IO_LIMITS.every((limit) => bursts[limit] === undefined)) {
    yield { path: ['burst'], message: 'must have a limit; leave it out for none' };
  }
  for (const limit of IO_LIMITS) {
    const [most, usual] = [limitOf(bursts, limit), limitOf(lasting, limit)];
    if (most === undefined) continue;
    if (usual === undefined) {
      yield { path: ['burst', limit], message: `needs ${limit} beside burst` };
    } else if (most < usual) {
      yield { path: ['burst', limit], message: `must be at least ${limit}, which lasts` };
    }
  }
}

function* alternatives(
  of: Readonly<Partial<Record<IoLimit, string | number | undefined>>>,
  at: readonly PropertyKey[],
): Generator<SpecProblem> {
  for (const unit of ['BytesPerSecond', 'Iops'] as const) {
    const parts = [`read${unit}`, `write${unit}`] as const;
    if (of[`total${unit}`] === undefined) continue;
    if (parts.every((part) => of[part] === undefined)) continue;
    const message = `must be left out with ${parts.join(' or ')}`;
    yield { path: [...at, `total${unit}`], message };
  }
  for (const limit of IO_LIMITS) {
    const value = limitOf(of, limit);
    if (typeof of[limit] !== 'string' || value === undefined) continue;
    if (value < 1n) {
      yield { path: [...at, limit], message: 'must be more than 0; leave it out for no limit' };
    } else if (value > MAX_BYTES) {
      yield { path: [...at, limit], message: `must be at most ${MAX_BYTES}` };
    }
  }
}
