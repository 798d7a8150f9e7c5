import { isDeepStrictEqual } from 'node:util';
import { type FieldDifference, fieldChanges } from './resources/field-changes.ts';
import type { Machine } from './resources/machine.ts';
import type { VmDefinition } from './vm-definition.ts';

/*
 * A VM that runs carries the definition that it was started with. What is changed while it runs becomes part of that, change by
 * change, so that at any time the two definitions tell what is still to be done.
 */

const MACHINE = 'spec.template.spec.';

/** Lists whose items come and go while a VM runs. */
const LISTS = ['volumes', 'networks'] as const;
type ListName = (typeof LISTS)[number];
type Named = { readonly name: string };

/** Names of what the hypervisor has now of what was made for a VM. */
export type Present = Readonly<Record<ListName, readonly string[]>> & {
  /** What has gone that its guest was asked to let go of, as `volumes/data`: where it is wanted by now, it is to come back. */
  readonly letGo?: readonly string[] | undefined;
};

/** Those of some, named as `volumes/data`, that are not there. */
export function goneOf(names: readonly string[], present: Present): readonly string[] {
  return names.filter((name) => {
    const [list = '', item = ''] = name.split('/');
    return !present[list as ListName].includes(item);
  });
}

/** What is between what a VM runs with and what it is to be, each field as the manifest writes it. */
export function runningDifferences(
  live: VmDefinition,
  wanted: VmDefinition,
  present: Present,
): readonly FieldDifference[] {
  return fieldChanges(
    { spec: presentDefinition(live, wanted, present).spec },
    { spec: wanted.spec },
  );
}

/**
 * What runs, without what has gone from it since and is to be another by now, or none: its guest has let go of the disk that had the
 * name. What is to be as it was, and has gone, its guest has taken out, and that is its right.
 */
export function presentDefinition(
  live: VmDefinition,
  wanted: VmDefinition,
  present: Present,
): VmDefinition {
  const machine = live.spec.template.spec;
  const lists = LISTS.flatMap((list) => {
    const items: readonly Named[] | undefined = machine[list];
    const kept = items?.filter(
      (item) =>
        present[list].includes(item.name) ||
        (present.letGo?.includes(`${list}/${item.name}`) !== true &&
          isDeepStrictEqual(item, itemOf(wanted.spec.template.spec, list, item.name))),
    );
    return kept === undefined || kept.length === items?.length ? [] : [[list, kept] as const];
  });
  return lists.length === 0
    ? live
    : withMachine(live, { ...machine, ...Object.fromEntries(lists) });
}

/** By what a change is told from others of the same VM: a volume that goes may have had the place of one that comes. */
export function changeKeyOf({ field, before, after }: FieldDifference): string {
  const list = /\.(volumes|networks)\[\d+\]$/.exec(field)?.[1];
  const name = ((after ?? before) as Partial<Named> | undefined)?.name;
  return list === undefined || name === undefined ? field : `${list}/${name}`;
}

/** The definition of what runs with these changes in it, which were made of what is wanted. */
export function withLiveChanges(
  live: VmDefinition,
  wanted: VmDefinition,
  changes: readonly FieldDifference[],
): VmDefinition {
  const next = wanted.spec.template.spec;
  let machine = live.spec.template.spec;
  for (const change of changes) machine = withChange(machine, next, change);
  const changed = withMachine(live, machine);
  // With nothing else waiting for the next start, what runs is what is wanted.
  if (fieldChanges(changed.spec, wanted.spec).length === 0) return wanted;
  return { ...changed, madeDisks: { ...live.madeDisks, ...wanted.madeDisks } };
}

function withMachine(definition: VmDefinition, machine: Machine): VmDefinition {
  const { spec } = definition;
  return { ...definition, spec: { ...spec, template: { ...spec.template, spec: machine } } };
}

function withChange(machine: Machine, wanted: Machine, change: FieldDifference): Machine {
  const item = findListItem(wanted, change);
  if (item === undefined) return withValue(machine, pathOf(change), change.after) as Machine;
  const { list, name } = item;
  const own: readonly Named[] = machine[list] ?? [];
  const next: readonly Named[] = wanted[list] ?? [];
  const target = next.find((one) => one.name === name);
  const has = (one: Named) => own.some((other) => other.name === one.name);
  const items = [
    // In the order in which they are wanted.
    ...next.flatMap((one) => {
      if (one.name === name) return [item.key === undefined ? one : patched(own, one, item.key)];
      return has(one) ? own.filter((other) => other.name === one.name) : [];
    }),
    ...own.filter((one) => !next.some((other) => other.name === one.name) && one.name !== name),
  ];
  const isGone = target === undefined && items.length === 0 && wanted[list] === undefined;
  const { [list]: _list, ...rest } = machine;
  return isGone ? rest : { ...machine, [list]: items };
}

function patched(own: readonly Named[], wanted: Named, key: string): Named {
  const old = own.find(({ name }) => name === wanted.name) ?? wanted;
  return withValue(old, [key], (wanted as unknown as Record<string, unknown>)[key]) as Named;
}

/** Of which volume or network a change is, and of which of its fields; undefined for what is none. */
export function findListItem(
  wanted: Machine,
  { field, before, after }: FieldDifference,
):
  | { readonly list: ListName; readonly name: string; readonly key: string | undefined }
  | undefined {
  const match = /^(volumes|networks)\[(\d+)\](?:\.(\w+))?$/.exec(pathOf({ field }).join('.'));
  if (match === null) return undefined;
  const [, list, index, key] = match as unknown as [string, ListName, string, string | undefined];
  if (key === undefined) return { list, name: ((after ?? before) as Named).name, key };
  const name = wanted[list]?.[Number(index)]?.name;
  return name === undefined ? undefined : { list, name, key };
}

function itemOf(machine: Machine, list: ListName, name: string): unknown {
  const items: readonly Named[] = machine[list] ?? [];
  return items.find((item) => item.name === name);
}

function pathOf({ field }: Pick<FieldDifference, 'field'>): readonly string[] {
  return field.slice(MACHINE.length).split('.');
}

function withValue(target: unknown, path: readonly string[], value: unknown): unknown {
  const [key = '', ...rest] = path;
  const { [key]: old, ...others } = (target ?? {}) as Record<string, unknown>;
  const next = rest.length === 0 ? value : withValue(old, rest, value);
  return next === undefined ? others : { ...others, [key]: next };
}
