import { type FieldDifference, fieldChanges } from '../../core/resources/field-changes.ts';
import type { PendingChange } from '../vms/vm.ts';
import { askedBy, type Happening, type SeenChange } from './seen-change.ts';

/** More would be a list that nobody reads. */
const MOST_FIELDS = 8;
const MOST_CHARACTERS = 40;
/** What stands there may be a secret, or long. */
const UNTOLD = /^(metadata\.|labels|annotations)|userData|cloudInit|auth|annotations|image\.source/;

/** That somebody has changed what a VM should be: which fields, and which of these wait for its next start. */
export function contentChanges(change: SeenChange): readonly Happening[] {
  const { before, now, seen } = change;
  if (before.content === undefined || before.generation === now.generation) return [];
  const request = change.requestOf('apply', 'eject', 'insert');
  // It is told as such.
  if (request !== undefined && request.kind !== 'apply') return [];
  const pending = new Map(seen.vm.pendingChanges.map((one) => [one.field, whenText(one)]));
  const differences = fieldChanges(before.content, now.content);
  const told = differences
    .slice(0, MOST_FIELDS)
    .map((one) => differenceText(one) + (pending.get(one.field) ?? ''));
  const more =
    differences.length > MOST_FIELDS ? `, and ${differences.length - MOST_FIELDS} more` : '';
  const by = request === undefined ? '' : ` by ${request.requestedBy}`;
  return [
    {
      reason: 'Changed',
      message: `It was changed${by}: ${told.join(', ')}${more}`,
      ...askedBy(request),
    },
  ];
}

function whenText({ waitsFor }: PendingChange): string {
  return waitsFor === 'restart' ? ' (after the next start)' : ' (while it runs)';
}

function differenceText({ field, before, after }: FieldDifference): string {
  const name = field.replace(/^spec\.template\.spec\./, '');
  const [was, is] = [shortText(before), shortText(after)];
  if (UNTOLD.test(field) || was === undefined || is === undefined) return name;
  return `${name} ${was} to ${is}`;
}

/** Undefined of what is long, or no plain value. */
function shortText(value: unknown): string | undefined {
  if (value === undefined) return 'unset';
  if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
    return undefined;
  }
  const text = String(value);
  return text.length <= MOST_CHARACTERS ? text : undefined;
}
