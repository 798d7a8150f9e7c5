import { isDeepStrictEqual } from 'node:util';
import type { VirtualMachine } from '../../client/api.ts';
import { required } from '../../client/required.ts';
import type { VmInput } from '../../client/vm-calls.ts';
import { AgentError } from '../../core/errors.ts';
import { readYaml, toYaml } from '../../core/yaml.ts';
import { vmDocument } from '../views/vm-view.ts';
import type { EditedText } from './manifest-editor.ts';
import { readVmManifest, toVmInput } from './vm-manifest.ts';

/** A VM that is to be edited, as it was then. */
export interface EditableVm {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly generation: bigint;
  /** Its manifest without what cannot be changed, but for the name. */
  readonly text: string;
}

/** Fails with STATE_NOT_READY for one of which nobody knows what it is. */
export function editableVm(message: VirtualMachine): EditableVm {
  const { namespace, name, uid, generation } = required(message.metadata, 'metadata');
  if (message.spec === undefined) {
    const about = 'it is there, but cannot be described at the moment';
    throw new AgentError('STATE_NOT_READY', `Cannot edit VM ${namespace}/${name}: ${about}`);
  }
  const { apiVersion, kind, metadata, spec, status } = vmDocument(message);
  const { labels, annotations } = metadata ?? {};
  const where = status?.nodeName === undefined ? '' : ` on node ${status.nodeName}`;
  const manifest = toYaml({
    apiVersion,
    kind,
    // What is not there is left out.
    metadata: JSON.parse(JSON.stringify({ name, namespace, labels, annotations })),
    spec,
  });
  const text = `# VM ${namespace}/${name}${where}, generation ${generation}. What is saved is applied to it; what is left out is unset.
# To change nothing, leave it as it is. docs/reference/virtual-machine.md has every field.
${manifest}`;
  return { namespace, name, uid, generation, text };
}

/** Whether an edit changes nothing; one that leaves nothing does not either. */
export function isUnchanged({ text: before }: EditableVm, { text: after }: EditedText): boolean {
  if (before === after) return true;
  try {
    const now = readYaml(after);
    return now === undefined || isDeepStrictEqual(now, readYaml(before));
  } catch {
    // That is told where it is read.
    return false;
  }
}

/** What is asked for of the VM. Fails with INVALID_SPEC for what is no manifest of it. */
export function readEdited(vm: EditableVm, { file, text }: EditedText): VmInput {
  const manifest = readVmManifest(text, file);
  const { namespace, name, uid = vm.uid } = manifest;
  if (namespace !== vm.namespace || name !== vm.name || uid !== vm.uid) {
    throw new AgentError(
      'INVALID_SPEC',
      `Cannot make VM ${vm.namespace}/${vm.name} another one: its name, namespace and uid stay; novactl vm create -f FILE makes another VM`,
    );
  }
  const input = toVmInput(manifest);
  return { ...input, metadata: { ...input.metadata, uid } };
}
