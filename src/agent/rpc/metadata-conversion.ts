import type { VmDefinition } from '../../core/vm-definition.ts';
import { ObjectMeta } from '../../gen/novacron/agent/v1/common.ts';
import { toUint64 } from './count-conversion.ts';
import type { FieldChecks } from './field-checks.ts';
import { fromTimestamp, toTimestamp } from './time-conversion.ts';

const MAX_LABELS = 64;
const MAX_ANNOTATION_BYTES = 64 * 1024;
const QUALIFIED_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const PREFIX = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/;

export type CheckedMetadata = Pick<
  VmDefinition,
  'namespace' | 'name' | 'labels' | 'annotations'
> & {
  readonly uid: string | undefined;
};

/** Name, labels and annotations by the rules of Kubernetes; what is output only is not looked at. */
export function fromMetadata(
  message: ObjectMeta | undefined,
  field: string,
  checks: FieldChecks,
): CheckedMetadata {
  const metadata = checks.required(field, message) ?? ObjectMeta.create();
  return {
    namespace: checks.namespace(`${field}.namespace`, metadata.namespace),
    name: checks.dnsLabel(`${field}.name`, metadata.name),
    uid: checks.optionalUuid(`${field}.uid`, metadata.uid),
    labels: fromLabels(metadata.labels, `${field}.labels`, checks),
    annotations: fromAnnotations(metadata.annotations, `${field}.annotations`, checks),
  };
}

export function fromLabels(
  labels: Readonly<Record<string, string>>,
  field: string,
  checks: FieldChecks,
): Readonly<Record<string, string>> {
  const entries = Object.entries(labels);
  if (entries.length > MAX_LABELS) checks.add(field, `must be at most ${MAX_LABELS}`);
  for (const [key, value] of entries) {
    checkKey(key, field, checks);
    if (value !== '' && !QUALIFIED_NAME.test(value)) {
      checks.add(`${field}[${key}]`, 'must be a label value by the rules of Kubernetes');
    }
  }
  return labels;
}

function fromAnnotations(
  annotations: Readonly<Record<string, string>>,
  field: string,
  checks: FieldChecks,
): Readonly<Record<string, string>> {
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    checkKey(key, field, checks);
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > MAX_ANNOTATION_BYTES) {
    checks.add(field, `must have at most ${MAX_ANNOTATION_BYTES} bytes in all`);
  }
  return annotations;
}

function checkKey(key: string, field: string, checks: FieldChecks): void {
  const slash = key.indexOf('/');
  const prefixFits = slash === -1 || PREFIX.test(key.slice(0, slash));
  if (!prefixFits || !QUALIFIED_NAME.test(key.slice(slash + 1))) {
    checks.add(`${field}[${key}]`, 'must have a key by the rules of Kubernetes');
  }
}

export function toMetadata(definition: VmDefinition): ObjectMeta {
  return {
    namespace: definition.namespace,
    name: definition.name,
    uid: definition.uid,
    generation: toUint64(definition.generation),
    labels: definition.labels,
    annotations: definition.annotations,
    createTime: toTimestamp(definition.createdAtMs),
  };
}

/** The whole definition of a VM but for its spec and epoch, as a peer gives it. */
export function fromDefinedMetadata(
  message: ObjectMeta | undefined,
  field: string,
  checks: FieldChecks,
): Omit<VmDefinition, 'spec' | 'ownershipEpoch'> {
  const { uid, ...rest } = fromMetadata(message, field, checks);
  const created = message?.createTime;
  const createdAtMs = created === undefined ? undefined : fromTimestamp(created);
  if (createdAtMs === undefined) checks.add(`${field}.create_time`, 'must be a time');
  if (uid === undefined) checks.add(`${field}.uid`, 'is required');
  return {
    ...rest,
    uid: uid ?? '',
    generation: checks.count(`${field}.generation`, message?.generation ?? 0n),
    createdAtMs: createdAtMs ?? 0,
  };
}
