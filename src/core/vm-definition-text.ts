import { z } from 'zod';
import { objectMeta } from './resources/object-meta.ts';
import { fieldPath } from './resources/schema-issues.ts';
import { API_VERSION, storedVirtualMachine } from './resources/virtual-machine.ts';
import { holdsUserData } from './user-data.ts';
import type { VmDefinition } from './vm-definition.ts';

/*
 * A definition as text: the manifest as JSON. It stands in the domain's metadata, where everybody on the node can read it, and
 * travels between agents. What the agent itself keeps with a VM stands beside it, so that the text stays as it is, byte
 * for byte, whichever version of the agent has written it.
 */

/** What stands beside the text. */
export type DefinitionFacts = Pick<
  VmDefinition,
  'uid' | 'namespace' | 'name' | 'ownershipEpoch' | 'owner' | 'intent' | 'privateFiles'
> & {
  /** Whether a newer agent has written what this one must not take for complete. */
  readonly isNewerVersion: boolean;
};

/** Rounds of taking away what is not known; each takes away at least one field. */
const MAX_ROUNDS = 100;

type Document = Record<string, unknown>;

/** The text of a definition: what a newer agent wrote stays as it is. */
export function toDefinitionText(definition: VmDefinition): string {
  if (definition.newer !== undefined) return definition.newer.manifest;
  if (holdsUserData(definition.spec)) {
    throw new Error('User data must not stand in a definition; only its digest may');
  }
  const { name, namespace, uid, labels, annotations, generation, createdAtMs } = definition;
  return JSON.stringify({
    apiVersion: API_VERSION,
    kind: 'VirtualMachine',
    metadata: {
      name,
      namespace,
      uid,
      ...(Object.keys(labels).length === 0 ? {} : { labels }),
      ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      generation,
      creationTimestamp: new Date(createdAtMs).toISOString(),
    },
    spec: definition.spec,
  });
}

/**
 * The definition that a text means. A VM is never disowned for what a newer agent wrote: what is not known is left out and
 * named in `newer`. Of a text that cannot be read at all, the identity remains.
 */
export function readDefinitionText(text: string, facts: DefinitionFacts): VmDefinition {
  const { isNewerVersion, ...own } = facts;
  const { document, unknownFields } = readKnown(text);
  const { metadata, spec } = document ?? NOTHING_KNOWN;
  const isNewer = isNewerVersion || unknownFields.length > 0;
  return {
    ...own,
    generation: metadata.generation ?? 1,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    createdAtMs: Date.parse(metadata.creationTimestamp ?? '') || 0,
    spec,
    newer: isNewer ? { manifest: text, unknownFields } : undefined,
  };
}

type Stored = z.output<typeof storedVirtualMachine>;

const NOTHING_KNOWN: Stored = {
  metadata: objectMeta.parse({ name: 'unknown' }),
  spec: { runStrategy: 'Manual', template: { spec: { resources: { cpu: '1', memory: '0' } } } },
};

function readKnown(text: string): {
  readonly document: Stored | undefined;
  readonly unknownFields: readonly string[];
} {
  const unknownFields: string[] = [];
  const unreadable = { document: undefined, unknownFields: ['spec'] };
  let content: Document;
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed !== 'object' || parsed === null) return unreadable;
    const { apiVersion, kind: _kind, status: _status, ...rest } = parsed as Document;
    if (apiVersion !== API_VERSION) unknownFields.push('apiVersion');
    content = rest;
  } catch {
    return unreadable;
  }
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const result = storedVirtualMachine.safeParse(content);
    if (result.success) {
      return { document: withKnownStrategy(result.data, unknownFields), unknownFields };
    }
    const paths = unknownPaths(result.error);
    if (paths.some((path) => path.length === 0) || !removeAll(content, paths)) return unreadable;
    unknownFields.push(...new Set(paths.map(fieldPath)));
  }
  return unreadable;
}

/** Left out, it would mean that the VM is to run always; when it runs is for those to say who know what was written. */
function withKnownStrategy(document: Stored, unknownFields: readonly string[]): Stored {
  const isUnknown = unknownFields.some(
    (field) => field === 'spec.runStrategy' || field === 'spec.running',
  );
  if (!isUnknown) return document;
  return { ...document, spec: { ...document.spec, running: undefined, runStrategy: 'Manual' } };
}

/** What has to be taken away for the rest to be known: unknown keys, unknown values, and what lacks something. */
function unknownPaths(error: z.ZodError): readonly (readonly PropertyKey[])[] {
  return error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [...issue.path, key]);
    return [issue.path];
  });
}

/** Takes away what the paths lead to; false if nothing is there. */
function removeAll(document: Document, paths: readonly (readonly PropertyKey[])[]): boolean {
  // Found before anything is taken away, as items of a list then have other places.
  const found = new Map<object, Set<string>>();
  for (const path of paths) {
    const place = placeOf(document, path);
    if (place === undefined) continue;
    const keys = found.get(place.holder) ?? new Set();
    found.set(place.holder, keys.add(place.key));
  }
  for (const [holder, keys] of found) {
    if (Array.isArray(holder)) {
      const kept = holder.filter((_item, index) => !keys.has(String(index)));
      holder.splice(0, holder.length, ...kept);
    } else for (const key of keys) Reflect.deleteProperty(holder, key);
  }
  return found.size > 0;
}

/** Where a value stands; if it is not there, where that stands which lacks it. */
function placeOf(
  document: Document,
  path: readonly PropertyKey[],
): { readonly holder: object; readonly key: string } | undefined {
  let place: { readonly holder: object; readonly key: string } | undefined;
  let current: unknown = document;
  for (const key of path.map(String)) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, key)) break;
    place = { holder: current, key };
    current = (current as Document)[key];
  }
  return place;
}
