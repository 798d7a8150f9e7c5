import {
  ApplyOutcome,
  type ApplyVirtualMachineResponse,
  ChangeEffect,
  type VirtualMachine,
} from '../../client/api.ts';
import { required } from '../../client/required.ts';
import { type Document, enumWord, withoutEmpty } from '../output/documents.ts';
import { printable } from '../output/table.ts';
import { valueText } from '../output/values.ts';
import { phaseWord, type VmDocument, vmDocument, vmName } from './vm-view.ts';

/** What applying one manifest did, or with a dry run would do. */
export interface ApplyResult {
  readonly vm: VmDocument;
  readonly outcome: 'created' | 'changed' | 'unchanged';
  readonly changes: readonly FieldChange[];
  readonly warnings: readonly string[];
}

interface FieldChange {
  readonly field: string;
  /** Undefined where it is not set. */
  readonly before: unknown;
  readonly after: unknown;
  readonly effect: keyof typeof EFFECT_WORDS;
}

/** What the agent answered, and how its operation ended: the answer is of when that was begun. */
export function readApplyResponse(
  { virtualMachine, outcome, changes, warnings }: ApplyVirtualMachineResponse,
  done?: { readonly vm: VirtualMachine; readonly outcome: string },
): ApplyResult {
  return {
    vm: vmDocument(required(done?.vm ?? virtualMachine, 'VM')),
    outcome: outcomeWord(done?.outcome ?? enumWord(ApplyOutcome, 'APPLY_OUTCOME', outcome) ?? ''),
    changes: changes.map(({ field, before, after, effect }) => ({
      field,
      before: readJson(before),
      after: readJson(after),
      effect: EFFECTS.get(effect) ?? 'now',
    })),
    warnings,
  };
}

function outcomeWord(outcome: string): ApplyResult['outcome'] {
  const word = outcome.toLowerCase();
  return word === 'created' || word === 'changed' ? word : 'unchanged';
}

/** A sentence, then a line for each field that changed. */
export function applyText(
  { vm, outcome, changes }: ApplyResult,
  { dryRun }: { readonly dryRun: boolean },
): string {
  const lines = changes.map(
    ({ field, before, after, effect }) =>
      `  ${field}: ${valueText(before)} -> ${valueText(after)} (${EFFECT_WORDS[effect]})`,
  );
  const phase = outcome === 'created' && !dryRun ? ` (${phaseWord(vm)})` : '';
  const did = (dryRun ? WOULD_WORDS : DID_WORDS)[outcome];
  return [`VM ${vmName(vm)} ${did}${phase}`, ...lines]
    .map((line) => `${printable(line)}\n`)
    .join('');
}

const DID_WORDS = { created: 'created', changed: 'changed', unchanged: 'unchanged' } as const;
const WOULD_WORDS = {
  created: 'would be created',
  changed: 'would be changed',
  unchanged: 'would stay as it is',
} as const;
const EFFECT_WORDS = {
  now: 'now',
  live: 'while it runs',
  'next-start': 'at the next start',
} as const;

const EFFECTS: ReadonlyMap<ChangeEffect, FieldChange['effect']> = new Map([
  [ChangeEffect.CHANGE_EFFECT_NEXT_START, 'next-start'],
  [ChangeEffect.CHANGE_EFFECT_LIVE, 'live'],
]);

export function applyDocument(result: ApplyResult): Document {
  const { vm, outcome, changes, warnings } = result;
  return {
    vm: vmName(vm),
    outcome,
    changes: changes.map((change) => withoutUndefined({ ...change })),
    ...withoutEmpty({ warnings }),
    object: vm,
  };
}

/** A value that is empty is told apart from one that is not set. */
function withoutUndefined(fields: Document): Document {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function readJson(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    // Shown as it came.
    return text;
  }
}
