import type * as z from '../zod.ts';
import { fieldPath } from './schema-issues.ts';

/** What a schema knows of a document. */
export interface KnownPart<Known> {
  readonly known: Known;
  /** What it does not know, named as in the document. */
  readonly unknownFields: readonly string[];
}

type Path = readonly PropertyKey[];
type Container = Record<PropertyKey, unknown>;

/** Each round mends all that the schema refuses; a check of several fields only speaks once each of them is right. */
const MAX_ROUNDS = 100;

/**
 * Reads a document that a newer version has written: what the schema does not know, or refuses, is left out. What cannot
 * be missing is taken from `standIn`, which the schema must accept; where that has nothing, what holds it is left out.
 * Undefined if nothing can be made of it.
 */
export function knownPart<Schema extends z.ZodType>(
  document: unknown,
  schema: Schema,
  standIn: z.input<Schema>,
): KnownPart<z.output<Schema>> | undefined {
  const reader = new LenientReader(document, standIn);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = schema.safeParse(reader.document);
    if (result.success) return { known: result.data, unknownFields: reader.unknownFields };
    if (!reader.mend(result.error)) return undefined;
  }
  return undefined;
}

/** Where an item of a list was. */
const GAP = Symbol('gap');

class LenientReader {
  readonly document: unknown;
  readonly #standIn: unknown;
  readonly #unknown = new Set<string>();
  /** Places that the items of a list had before others were taken out of it. */
  readonly #places = new Map<unknown, number[]>();
  /** Lists that items are being taken out of. */
  readonly #gaps = new Set<unknown[]>();

  constructor(document: unknown, standIn: unknown) {
    this.document = structuredClone(document);
    this.#standIn = standIn;
  }

  get unknownFields(): readonly string[] {
    return [...this.#unknown];
  }

  /** Whether something could be done about what the schema says. */
  mend(error: z.ZodError): boolean {
    const paths = error.issues.flatMap((issue): readonly Path[] =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => [...issue.path, key])
        : [issue.path],
    );
    const faults = paths.map((path) => this.#faultAt(path));
    const distinct = new Map(faults.map((path) => [fieldPath(path), path]));
    const outermost = [...distinct.values()].filter(
      (path) => !path.some((_, depth) => distinct.has(fieldPath(path.slice(0, depth)))),
    );
    // All names first, and lists closed up last, so that what is still to be mended keeps its place.
    for (const path of outermost) this.#unknown.add(this.#nameOf(path));
    const isMended = outermost.map((path) => this.#replace(path)).every(Boolean);
    for (const list of this.#gaps) this.#closeUp(list);
    this.#gaps.clear();
    return isMended;
  }

  /** What is to be replaced for this to be right: itself, or what holds it if it is missing and has no stand-in. */
  #faultAt(path: Path): Path {
    const canStay = find(this.document, path).found || find(this.#standIn, path).found;
    return path.length === 0 || canStay ? path : this.#faultAt(path.slice(0, -1));
  }

  #replace(path: Path): boolean {
    const key = path.at(-1);
    const holder = find(this.document, path.slice(0, -1)).value;
    if (key === undefined || !isContainer(holder)) return false;
    const standIn = find(this.#standIn, path);
    if (standIn.found) {
      holder[key] = structuredClone(standIn.value);
    } else if (Array.isArray(holder)) {
      holder[Number(key)] = GAP;
      this.#gaps.add(holder);
    } else {
      Reflect.deleteProperty(holder, key);
    }
    return true;
  }

  #closeUp(list: unknown[]): void {
    const places = this.#places.get(list) ?? list.map((_, index) => index);
    this.#places.set(
      list,
      places.filter((_, index) => list[index] !== GAP),
    );
    const kept = list.filter((item) => item !== GAP);
    for (const [index, item] of kept.entries()) list[index] = item;
    list.length = kept.length;
  }

  #nameOf(path: Path): string {
    const named = path.map((key, depth) => {
      const places = this.#places.get(find(this.document, path.slice(0, depth)).value);
      return typeof key === 'number' ? (places?.[key] ?? key) : key;
    });
    return fieldPath(named);
  }
}

function find(document: unknown, path: Path): { readonly found: boolean; readonly value: unknown } {
  let value = document;
  for (const key of path) {
    if (!isContainer(value) || !Object.hasOwn(value, key)) {
      return { found: false, value: undefined };
    }
    value = value[key];
  }
  return { found: true, value };
}

function isContainer(value: unknown): value is Container {
  return typeof value === 'object' && value !== null;
}
