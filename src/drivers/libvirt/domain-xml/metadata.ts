import { z } from 'zod';
import type { VmDefinition } from '../../../core/vm-spec.ts';
import { element, renderXml, type XmlNode } from './xml-node.ts';
import type { XmlElement } from './xml-parser.ts';
import { attributeOf, textOf } from './xml-query.ts';

export const METADATA_NAMESPACE = 'https://novacron.dev/xmlns/vm/1';
export const METADATA_PREFIX = 'novacron';

/** Raised when an agent that does not know a change must not touch the VM; new fields do not raise it. */
const VERSION = '1';

/** The definition as an element with its namespace, for `<metadata>` in a domain's XML. */
export function metadataElement(definition: VmDefinition): string {
  return renderXml(metadataNode(definition));
}

/**
 * The definition for virDomainSetMetadata, which puts namespace and prefix on by itself from its `uri` and `key`
 * arguments (METADATA_NAMESPACE, METADATA_PREFIX) and fails when the element has them already.
 */
export function metadataArgument(definition: VmDefinition): string {
  return renderXml(element('vm', attributes(definition), toJson(definition)));
}

export function metadataNode(definition: VmDefinition): XmlNode {
  return element(
    `${METADATA_PREFIX}:vm`,
    { [`xmlns:${METADATA_PREFIX}`]: METADATA_NAMESPACE, ...attributes(definition) },
    toJson(definition),
  );
}

/** The definition in an element made by `metadataElement`; undefined if it cannot be read. */
export function readMetadata(from: XmlElement): VmDefinition | undefined {
  if (attributeOf(from, 'version') !== VERSION) return undefined;
  try {
    return definitionSchema.safeParse(JSON.parse(textOf(from) ?? '')).data;
  } catch {
    return undefined;
  }
}

/** The attributes other than `version` are for people who read the XML; programs take the JSON. */
function attributes(definition: VmDefinition): Readonly<Record<string, string>> {
  return {
    version: VERSION,
    namespace: definition.namespace,
    name: definition.name,
    generation: String(definition.generation),
    ownershipEpoch: String(definition.ownershipEpoch),
  };
}

/** JSON in ASCII: a label may hold any character, also those that XML cannot carry. */
function toJson(definition: VmDefinition): string {
  return JSON.stringify(definition).replaceAll(
    /[^ -~]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

// Objects are loose: after a rollback an older agent must still know VMs whose definition has newer fields, and
// must hand those fields on when it writes the definition again. Refusing would make it disown running VMs.
const diskSchema = z
  .looseObject({
    name: z.string(),
    target: z.string(),
    bus: z.enum(['virtio', 'scsi', 'sata']),
    format: z.enum(['raw', 'qcow2']),
    path: z.string(),
    readOnly: z.boolean(),
    shared: z.boolean(),
    bootOrder: z.int().optional(),
    cache: z.enum(['none', 'writeback', 'writethrough', 'directsync']),
  })
  // A field that may be undefined is always present, as in a definition that was never written out.
  .transform((disk) => ({ ...disk, bootOrder: disk.bootOrder }));

const bootSchema = z.discriminatedUnion('kind', [
  z.looseObject({ kind: z.literal('firmware'), firmware: z.enum(['bios', 'uefi']) }),
  z
    .looseObject({
      kind: z.literal('kernel'),
      kernelPath: z.string(),
      initrdPath: z.string().optional(),
      commandLine: z.string(),
    })
    .transform((boot) => ({ ...boot, initrdPath: boot.initrdPath })),
]);

const specSchema = z
  .looseObject({
    powerState: z.enum(['running', 'stopped']),
    cpu: z
      .looseObject({ vcpus: z.int(), model: z.string().optional() })
      .transform((cpu) => ({ ...cpu, model: cpu.model })),
    memory: z.looseObject({ sizeBytes: z.int() }),
    boot: bootSchema,
    disks: z.array(diskSchema),
    machineType: z.string().optional(),
  })
  .transform((spec) => ({ ...spec, machineType: spec.machineType }));

const definitionSchema: z.ZodType<VmDefinition> = z.looseObject({
  namespace: z.string(),
  name: z.string(),
  uid: z.string(),
  generation: z.int(),
  ownershipEpoch: z.int(),
  labels: z.record(z.string(), z.string()),
  annotations: z.record(z.string(), z.string()),
  createdAtMs: z.number(),
  spec: specSchema,
});
