import { z } from 'zod';
import { objectMeta } from './resources/object-meta.ts';
import { fieldPath } from './resources/schema-issues.ts';
import { API_VERSION, storedVirtualMachine, type VmSpec } from './resources/virtual-machine.ts';
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
const DIGEST = /^sha256:[0-9a-f]{64}$/;

type Document = Record<string, unknown>;

/** The text of a definition: what a newer agent wrote stays as it is. */
export function toDefinitionText(definition: VmDefinition): string {
  if (definition.newer !== undefined) return definition.newer.manifest;
  const { userData } = definition.spec.template.spec;
  if (userData !== undefined && !DIGEST.test(userData)) {
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
    if (result.success) return { document: result.data, unknownFields };
    for (const path of unknownPaths(result.error)) {
      if (path.length === 0) return unreadable;
      if (remove(content, path)) unknownFields.push(fieldPath(path));
    }
  }
  return unreadable;
}

/** What has to be taken away for the rest to be known: unknown keys, unknown values, and what lacks something. */
function unknownPaths(error: z.ZodError): readonly (readonly PropertyKey[])[] {
  const paths = error.issues.flatMap((issue) => {
    if (issue.code === 'unrecognized_keys') return issue.keys.map((key) => [...issue.path, key]);
    return [issue.path];
  });
  // Items of a list from the last on, so that the places of those before them stay.
  return paths.toSorted((left, right) => fieldPath(right).localeCompare(fieldPath(left)));
}

/** Takes away a value; what holds it, if it is not there: then something required is missing. */
function remove(document: Document, path: readonly PropertyKey[]): boolean {
  let parent: unknown = document;
  for (const key of path.slice(0, -1)) parent = (parent as Document | undefined)?.[String(key)];
  const key = path.at(-1) ?? '';
  if (Array.isArray(parent) && typeof key === 'number') {
    if (key >= parent.length) return false;
    parent.splice(key, 1);
    return true;
  }
  if (typeof parent === 'object' && parent !== null && key in parent) {
    return Reflect.deleteProperty(parent, key);
  }
  return remove(document, path.slice(0, -1));
}

/** The spec of a definition whose user data was put away: its digest takes its place. */
export function withoutUserData(spec: VmSpec, digest: string): VmSpec {
  const machine = { ...spec.template.spec, userData: `sha256:${digest}` };
  return { ...spec, template: { ...spec.template, spec: machine } };
}
