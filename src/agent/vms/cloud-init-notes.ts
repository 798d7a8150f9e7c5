import { LineCounter, parseDocument } from 'yaml';
import { hasSeed } from '../../core/resources/has-seed.ts';
import type { VmSpec } from '../../core/resources/virtual-machine.ts';
import type { FieldChange, Vm } from './vm.ts';

const MACHINE = 'spec.template.spec';
const USER_DATA = `${MACHINE}.userData`;
const INSTANCE_ID = `${MACHINE}.cloudInit.instanceId`;
/** What user data may begin with, in whichever case (https://docs.cloud-init.io/en/latest/explanation/format.html). */
const BEGINNINGS = [
  '#cloud-config',
  '#!',
  '#include',
  '#cloud-boothook',
  '#part-handler',
  '## template: jinja',
  'content-type:',
  'mime-version:',
];

/**
 * What cloud-init would not do as whoever wrote the user data may think: it says so in the guest's log alone. Has no word of the user
 * data: notes are kept and shown where those must not be.
 */
export function userDataNotes(userData: Uint8Array | undefined): readonly string[] {
  const text = Buffer.from(userData ?? []).toString('utf8');
  const [first = ''] = text.trimStart().toLowerCase().split('\n', 1);
  if (first === '') return [];
  // Compressed ones do not get here, as they are no text.
  if (!BEGINNINGS.some((beginning) => first.startsWith(beginning))) {
    return [
      `${USER_DATA} begins with none of the words by which cloud-init knows what it is, so it may ignore it; most begin with a line "#cloud-config" or "#!/bin/sh"`,
    ];
  }
  if (first.trimEnd() !== '#cloud-config') return [];
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, logLevel: 'silent' });
  const [error] = document.errors;
  if (error !== undefined) {
    const { line, col } = lines.linePos(error.pos[0]);
    return [`${USER_DATA} is no YAML at line ${line}, column ${col}, so cloud-init ignores it`];
  }
  try {
    return isMap(document.toJS())
      ? []
      : [`${USER_DATA} is no map of keys, so cloud-init ignores it`];
  } catch {
    return [`${USER_DATA} has an alias without its anchor, so cloud-init ignores it`];
  }
}

function isMap(value: unknown): boolean {
  return (
    value === null || value === undefined || (typeof value === 'object' && !Array.isArray(value))
  );
}

/** What a change of what cloud-init is told does, or does not do, in a guest that has booted. */
export function bootedNotes(
  { definition, run }: Pick<Vm, 'definition' | 'run'>,
  wanted: VmSpec,
  changes: readonly Pick<FieldChange, 'field'>[],
): readonly string[] {
  const isNew = run?.isOn === false && run.end?.cause === 'never-started';
  const { spec: before } = definition.spec.template;
  const { spec: after } = wanted.template;
  if (isNew || !tellsOtherwise(changes) || !hasSeed(after)) return [];
  if (!hasSeed(before)) {
    return [
      'To cloud-init in its guest the next start is a first boot, as it has not been told an id before: the guest takes the name, makes itself new keys as a host and does all that its user data ask for',
    ];
  }
  const id = after.cloudInit?.instanceId;
  if (id !== undefined && id !== before.cloudInit?.instanceId) return [];
  return [
    `What cloud-init does at a first boot only, its guest may have done already and does not do again; for another first boot at the next start give ${INSTANCE_ID} a new value`,
  ];
}

/** Whether a change is of what cloud-init is told. */
export function tellsOtherwise(changes: readonly Pick<FieldChange, 'field'>[]): boolean {
  return changes.some(({ field }) => /\.(userData$|cloudInit($|\.))/.test(field));
}
