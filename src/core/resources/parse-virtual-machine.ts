import { AgentError, type FieldViolation } from '../errors.ts';
import { isRecord } from '../is-record.ts';
import { API_VERSION } from './api-version.ts';
import { sizeProblem } from './manifest-size.ts';
import { FOREIGN_METADATA, type ObjectMeta, objectMeta } from './object-meta.ts';
import { describeIssues, schemaMessages, summarize } from './schema-issues.ts';
import { type VmSpec, virtualMachine } from './virtual-machine.ts';

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
  if (!result.success) throw invalid(document, describeIssues(result.error, virtualMachine));
  const { metadata, spec } = result.data;
  const tooLarge = sizeProblem(metadata, spec);
  if (tooLarge !== undefined) throw invalid(document, [tooLarge]);
  return { metadata, spec };
}

/** Whom a manifest is about, before it is checked as a whole. Fails with INVALID_SPEC if it does not say. */
export function identityOf(document: unknown): {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string | undefined;
} {
  const metadata = isRecord(document) ? document['metadata'] : undefined;
  const { name, namespace, uid } = isRecord(metadata) ? metadata : {};
  const result = objectMeta
    .pick({ name: true, namespace: true, uid: true })
    .safeParse({ name, namespace, uid }, schemaMessages);
  if (result.success) {
    return { namespace: result.data.namespace, name: result.data.name, uid: result.data.uid };
  }
  throw invalid(document, describeIssues(result.error, objectMeta, ['metadata']));
}

function invalid(document: unknown, violations: readonly FieldViolation[]): AgentError {
  const message = `Cannot accept ${nameOf(document)}: ${summarize(violations)}`;
  return new AgentError('INVALID_SPEC', message, { violations });
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
