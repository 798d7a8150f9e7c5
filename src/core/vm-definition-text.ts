import { API_VERSION } from './resources/api-version.ts';
import { asciiJson } from './resources/ascii-json.ts';
import { type KnownPart, knownPart } from './resources/known-part.ts';
import { storedVirtualMachine } from './resources/virtual-machine.ts';
import { holdsUserData } from './user-data.ts';
import type { VmDefinition } from './vm-definition.ts';
import type * as z from './zod.ts';

/*
 * A definition as text: the manifest as JSON. It stands in the domain's metadata, where everybody on the node can read it, and
 * travels between agents. What the agent itself keeps with a VM stands beside it, so that the text stays as it is, byte
 * for byte, whichever version of the agent has written it.
 */

/** What stands beside the text. */
export type DefinitionFacts = Pick<
  VmDefinition,
  | 'uid'
  | 'namespace'
  | 'name'
  | 'ownershipEpoch'
  | 'owner'
  | 'intent'
  | 'privateFiles'
  | 'madeDisks'
  | 'ejected'
> & {
  /** Whether a newer agent has written what this one must not take for complete. */
  readonly isNewerVersion: boolean;
};

const KIND = 'VirtualMachine';

/** The text of a definition: what a newer agent wrote stays as it is. */
export function toDefinitionText(definition: VmDefinition): string {
  if (definition.newer !== undefined) return definition.newer.manifest;
  if (holdsUserData(definition.spec)) {
    throw new Error('User data must not stand in a definition; only its digest may');
  }
  const { name, namespace, uid, labels, annotations, generation, createdAtMs } = definition;
  const manifest = {
    apiVersion: API_VERSION,
    kind: KIND,
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
  };
  return asciiJson(manifest);
}

/**
 * The definition that a text means. A VM is never disowned for what a newer agent wrote: what is not known is left out and
 * named in `newer`. Of a text that cannot be read at all, the identity remains.
 */
export function readDefinitionText(text: string, facts: DefinitionFacts): VmDefinition {
  const { isNewerVersion, ...own } = facts;
  const document = parseObject(text);
  const { known, unknownFields } = readManifest(document ?? {});
  const { metadata, spec } = known;
  const isNewer = isNewerVersion || unknownFields.length > 0;
  // A newer version may keep it in another form.
  const damage = document === undefined && !isNewerVersion ? { isDamaged: true as const } : {};
  return {
    ...own,
    generation: metadata.generation ?? 1,
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
    createdAtMs: Date.parse(metadata.creationTimestamp ?? '') || 0,
    spec: unknownFields.includes('spec.running') ? { ...spec, runStrategy: 'Manual' } : spec,
    newer: isNewer ? { manifest: text, unknownFields, ...damage } : undefined,
  };
}

/** Where nothing is known: no run strategy starts or stops a VM for a reason that this agent cannot read. */
const NOTHING_KNOWN = {
  metadata: { name: 'unknown' },
  spec: {
    runStrategy: 'Manual',
    template: { spec: { resources: { cpu: '1', memory: '0' } } },
  },
} as const;

function readManifest(
  document: Readonly<Record<string, unknown>>,
): KnownPart<z.output<typeof storedVirtualMachine>> {
  const { apiVersion, kind, ...content } = document;
  const part = knownPart(content, storedVirtualMachine, NOTHING_KNOWN);
  const known = part?.known ?? storedVirtualMachine.parse(NOTHING_KNOWN);
  const unknownFields = [
    ...(apiVersion === API_VERSION ? [] : ['apiVersion']),
    ...(kind === KIND ? [] : ['kind']),
    ...(part?.unknownFields ?? ['metadata', 'spec']),
  ];
  return { known, unknownFields };
}

/** Undefined for a text that is no object of JSON. */
function parseObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return typeof parsed === 'object' && parsed !== null ? { ...parsed } : undefined;
  } catch {
    return undefined;
  }
}
