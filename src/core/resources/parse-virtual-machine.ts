import { AgentError } from '../errors.ts';
import { FOREIGN_METADATA, type ObjectMeta } from './object-meta.ts';
import { describeIssues, schemaMessages } from './schema-issues.ts';
import { API_VERSION, type VmSpec, virtualMachine } from './virtual-machine.ts';

/** A VM as a caller wants it: checked, defaults filled in. */
export interface WantedVm {
  readonly metadata: ObjectMeta;
  readonly spec: VmSpec;
}

/**
 * Checks a VM in the form of a manifest. `apiVersion` and `kind` may be left out, `status` and what other servers write
 * into the metadata are ignored. Fails with INVALID_SPEC, naming every field that is wrong.
 */
export function parseVirtualMachine(document: unknown): WantedVm {
  const result = virtualMachine.safeParse(withoutForeign(document), schemaMessages);
  if (result.success) return { metadata: result.data.metadata, spec: result.data.spec };
  const violations = describeIssues(result.error, virtualMachine);
  const [first] = violations;
  const others = violations.length - 1;
  const more = others === 0 ? '' : ` (and ${others} more problem${others === 1 ? '' : 's'})`;
  throw new AgentError(
    'INVALID_SPEC',
    `Cannot accept ${nameOf(document)}: ${first?.field} ${first?.description}${more}`,
    { violations },
  );
}

/** The manifest of a VM without its status. */
export function toManifest({ metadata, spec }: WantedVm): Readonly<Record<string, unknown>> {
  return { apiVersion: API_VERSION, kind: 'VirtualMachine', metadata, spec };
}

function withoutForeign(document: unknown): unknown {
  if (!isRecord(document)) return document;
  const { status: _, apiVersion, kind, ...rest } = document;
  if (apiVersion !== undefined && apiVersion !== API_VERSION) {
    throw unknownKind('apiVersion', `must be ${API_VERSION}, not ${JSON.stringify(apiVersion)}`);
  }
  if (kind !== undefined && kind !== 'VirtualMachine') {
    throw unknownKind('kind', `must be VirtualMachine, not ${JSON.stringify(kind)}`);
  }
  if (!isRecord(rest['metadata'])) return rest;
  const foreign: readonly string[] = FOREIGN_METADATA;
  const own = Object.entries(rest['metadata']).filter(([key]) => !foreign.includes(key));
  return { ...rest, metadata: Object.fromEntries(own) };
}

function unknownKind(field: string, description: string): AgentError {
  return new AgentError('INVALID_SPEC', `Cannot accept the manifest: ${field} ${description}`, {
    violations: [{ field, description }],
  });
}

function nameOf(document: unknown): string {
  const metadata = isRecord(document) ? document['metadata'] : undefined;
  const name = isRecord(metadata) ? metadata['name'] : undefined;
  return typeof name === 'string' ? `VM ${JSON.stringify(name)}` : 'the VM';
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
