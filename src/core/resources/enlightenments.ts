import type { Machine } from './machine.ts';

export type Enlightenment = NonNullable<NonNullable<Machine['hyperv']>['features']>[number];

/**
 * What Windows gains from and no VM is kept from moving by. Not in it: `reset`, which guests do without; `reenlightenment`, which is
 * for guests that move between clocks of other speeds; `evmcs` and `avic`, which one maker's processors have.
 */
const USUAL: readonly Enlightenment[] = [
  'relaxed',
  'vapic',
  'spinlocks',
  'vpindex',
  'runtime',
  'synic',
  'stimer',
  'frequencies',
  'tlbflush',
  'ipi',
];

/** QEMU does not start with the one and without the other. */
const NEEDS: Readonly<Partial<Record<Enlightenment, Enlightenment>>> = {
  synic: 'vpindex',
  stimer: 'synic',
  tlbflush: 'vpindex',
  ipi: 'vpindex',
  evmcs: 'vapic',
};

/** Hyper-V enlightenments of a machine; none where they are off; undefined where it does not speak of them. */
export function enlightenmentsOf({
  hyperv,
}: Pick<Machine, 'hyperv'>): readonly Enlightenment[] | undefined {
  if (hyperv === undefined) return undefined;
  return hyperv.enabled ? (hyperv.features ?? USUAL) : [];
}

/** What keeps a list of them from working, each with its place. */
export function* enlightenmentProblems(
  features: readonly Enlightenment[],
): Generator<{ readonly index: number; readonly message: string }> {
  for (const [index, name] of features.entries()) {
    if (features.indexOf(name) < index) {
      yield { index, message: `names ${name} a second time` };
    }
    const need = NEEDS[name];
    if (need !== undefined && !features.includes(need)) {
      yield { index, message: `is ${name}, which needs ${need} as well` };
    }
  }
}
