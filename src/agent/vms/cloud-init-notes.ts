import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import { readYaml } from '../../core/yaml.ts';
import { yamlProblem } from '../../core/yaml-problem.ts';
import type { FieldChange, Vm } from './vm.ts';

const MACHINE = 'spec.template.spec';
const USER_DATA = `${MACHINE}.userData`;
const INSTANCE_ID = `${MACHINE}.cloudInit.instanceId`;
/** What user data may begin with (https://cloudinit.readthedocs.io/en/latest/explanation/format.html). */
const BEGINNINGS = [
  '#cloud-config',
  '#!',
  '#include',
  '#cloud-boothook',
  '#part-handler',
  '## template: jinja',
  'Content-Type:',
  'MIME-Version:',
];
const CLOUD_CONFIG = /^#cloud-config\s*$/m;

/** What cloud-init would not do as whoever wrote the user data may think: it says so in the guest's log alone. */
export function userDataNotes(userData: Uint8Array | undefined): readonly string[] {
  if (userData === undefined || userData.length === 0) return [];
  const text = Buffer.from(userData).toString('utf8');
  const first = text.slice(0, Math.max(0, text.indexOf('\n'))) || text;
  // Compressed ones do not get here, as they are no text.
  if (!BEGINNINGS.some((beginning) => first.startsWith(beginning))) {
    return [
      `${USER_DATA} begins with none of the words by which cloud-init knows what it is, so it ignores it; most begin with a line "#cloud-config" or "#!/bin/sh"`,
    ];
  }
  if (!CLOUD_CONFIG.test(first)) return [];
  try {
    // One of comments alone is nothing.
    const document: unknown = readYaml(text) ?? {};
    if (typeof document === 'object' && !Array.isArray(document)) return [];
    return [`${USER_DATA} is no map of keys, so cloud-init ignores it`];
  } catch (error) {
    return [`${USER_DATA} is no YAML, so cloud-init ignores it: ${yamlProblem(text, error)}`];
  }
}

/** What a change of what cloud-init is told does not do in a guest that has booted. */
export function bootedNotes(
  { definition, run }: Pick<Vm, 'definition' | 'run'>,
  wanted: VmSpec,
  changes: readonly Pick<FieldChange, 'field'>[],
): readonly string[] {
  const isTold = changes.some(({ field }) => /\.(userData$|cloudInit($|\.))/.test(field));
  const [before, after] = [definition.spec, wanted].map(({ template }) => template.spec.cloudInit);
  const isAnew = after?.instanceId !== undefined && after.instanceId !== before?.instanceId;
  const isNew = run?.isOn === false && run.end?.cause === 'never-started';
  if (!isTold || isAnew || isNew) return [];
  return [
    `What cloud-init is told is read by the guest at its first boot only, which it may have had; for another one at the next start give ${INSTANCE_ID} a new value`,
  ];
}
