import { toVirtualMachineMessage } from '../../client/resource-messages.ts';
import type { VmInput } from '../../client/vm-calls.ts';
import { AgentError, type Reason } from '../../core/errors.ts';
import { isRecord } from '../../core/is-record.ts';
import { API_VERSION } from '../../core/resources/api-version.ts';
import { identityOf, parseVirtualMachine } from '../../core/resources/parse-virtual-machine.ts';
import type { CliIo } from '../process/cli-io.ts';
import { splitDocuments } from './manifest-documents.ts';
import { type ManifestPart, readManifestFiles } from './manifest-files.ts';
import type { ManifestOptions } from './manifest-options.ts';

/** A manifest that says which VM it is about; the rest of it is not yet checked. */
export interface VmManifest {
  readonly namespace: string;
  readonly name: string;
  /** Undefined where it does not say. */
  readonly uid: string | undefined;
  readonly document: unknown;
}

type Fields = Readonly<Record<string, unknown>>;

const KIND = 'VirtualMachine';
/** Kinds of the specification that nothing serves yet. */
const COMING_KINDS: readonly unknown[] = [
  'VMPool',
  'VMNetwork',
  'VMStorage',
  'BackupJob',
  'BackupSchedule',
  'RestoreJob',
];

/** The manifests of files, folders and standard input; each that cannot be used says why, by file and document. */
export async function readVmManifests(
  options: ManifestOptions,
  io: CliIo,
): Promise<readonly ManifestPart<VmManifest>[]> {
  const files = await readManifestFiles(options, io);
  const documents = files
    .flatMap((part) => ('error' in part ? [part] : splitDocuments(part.value, part.where)))
    .flatMap(itemsOf);
  const seen = new Map<string, string>();
  return documents.map((part) => {
    if ('error' in part) return part;
    const { where } = part;
    try {
      const manifest = identify(part.value, options.namespace);
      assertFirst(manifest, where, seen);
      return { where, value: manifest };
    } catch (error) {
      if (error instanceof AgentError) return { where, error };
      throw error;
    }
  });
}

/** The one manifest that a text has. Fails with INVALID_SPEC if that is not so. */
export function readVmManifest(text: string, file: string): VmManifest {
  const [part, ...others] = splitDocuments(text, file);
  if (part === undefined || others.length > 0) {
    throw new AgentError('INVALID_SPEC', 'Cannot use the manifest: it must be one document');
  }
  if ('error' in part) throw part.error;
  return identify(part.value, undefined);
}

/** What the API is asked to make of a manifest. Fails with INVALID_SPEC, naming every field that is wrong. */
export function toVmInput({ document }: VmManifest): VmInput {
  return toVirtualMachineMessage(parseVirtualMachine(document));
}

/** The items of a list, as `vm list -o yaml` and kubectl print them. */
function itemsOf(part: ManifestPart<unknown>): readonly ManifestPart<unknown>[] {
  if ('error' in part || !isRecord(part.value)) return [part];
  const { kind = 'List', items } = part.value;
  if (!Array.isArray(items) || !String(kind).endsWith('List')) return [part];
  return items.map((value: unknown, index) => ({
    where: `${part.where}, item ${index + 1}`,
    value,
  }));
}

function identify(content: unknown, namespace: string | undefined): VmManifest {
  assertServed(content);
  const document = withNamespace(content, namespace);
  return { ...identityOf(document), document };
}

function assertServed(content: unknown): asserts content is Fields {
  if (!isRecord(content)) {
    throw refused('(top level)', 'must be an object with apiVersion, kind, metadata and spec');
  }
  const { apiVersion, kind } = content;
  if (COMING_KINDS.includes(kind)) {
    const description = `is ${String(kind)}, which nothing serves yet; ${KIND} is all there is`;
    throw refused('kind', description, 'NOT_SUPPORTED');
  }
  if (kind !== KIND) throw refused('kind', mustBe(KIND, kind));
  if (apiVersion !== API_VERSION) throw refused('apiVersion', mustBe(API_VERSION, apiVersion));
}

function mustBe(wanted: string, found: unknown): string {
  return found === undefined
    ? `is required; it must be ${wanted}`
    : `must be ${wanted}, not ${JSON.stringify(found)}`;
}

/** The manifest's namespace, which `--namespace` fills in but never contradicts. */
function withNamespace(content: Fields, namespace: string | undefined): Fields {
  const { metadata } = content;
  if (namespace === undefined || !isRecord(metadata)) return content;
  const found = metadata['namespace'];
  if (found === undefined) return { ...content, metadata: { ...metadata, namespace } };
  if (found === namespace) return content;
  throw refused(
    'metadata.namespace',
    `is ${JSON.stringify(found)}, but --namespace says ${namespace}`,
  );
}

/** Two manifests of one VM would undo each other. */
function assertFirst(
  { namespace, name }: VmManifest,
  where: string,
  seen: Map<string, string>,
): void {
  const vm = `${namespace}/${name}`;
  const first = seen.get(vm);
  if (first !== undefined) throw refused('metadata.name', `is VM ${vm}, which ${first} is as well`);
  seen.set(vm, where);
}

function refused(field: string, description: string, reason: Reason = 'INVALID_SPEC'): AgentError {
  return new AgentError(reason, `Cannot use the manifest: ${field} ${description}`, {
    violations: [{ field, description }],
  });
}
