import type { VmDefinition } from '../../core/vm-definition.ts';
import type { DriftedPart } from '../../drivers/hypervisor-domains.ts';
import type { Condition } from '../reports/report.ts';
import { pastStartsText } from '../runs/restart-report.ts';
import type { Aspect } from './condition-aspect.ts';
import { mayBePutBack } from './drift.ts';
import { isDamaged } from './known-spec.ts';
import { whyUnconfirmed } from './ownership.ts';
import { mayStopAgain } from './vm-pauses.ts';
import { isOff, type PhaseReport, type VmContext } from './vm-phase.ts';

/** What tells whether something about a VM asks for an operator. */
export interface TroubleFacts {
  readonly isRead: boolean;
  readonly definition: VmDefinition;
  readonly state: PhaseReport;
  readonly context: VmContext;
  readonly drift: readonly DriftedPart[];
  /** The conditions that it has beside this one, those that were there before with their times. */
  readonly conditions: readonly Condition[];
}

type Trouble = readonly [reason: string, message: string];

/** What is put back is so within seconds. */
const DRIFT_PATIENCE_MS = 60_000;
/** A VM that was started again only once may have had a reason. */
const MANY_ATTEMPTS = 2;
/** Of a VM that runs, or should not: somebody has to decide. */
const TO_BE_DECIDED: readonly string[] = [
  'GuestDidNotStop',
  'StartedByOther',
  'PostCopyFailed',
  'GuestCrashed',
  'StaleCopy',
];

/** Each says what is wrong in one respect; undefined if nothing is. The gravest first, as its reason is the condition's. */
const TROUBLES: readonly ((facts: TroubleFacts) => Trouble | undefined)[] = [
  notRead,
  notUnderstood,
  notOwned,
  stopped,
  driftedForGood,
  notStartable,
  backOff,
];

/** Whether something about a VM asks for an operator: it will not mend by itself. */
export function degraded(facts: TroubleFacts): Aspect {
  const { state, isRead } = facts;
  if (state.phase === 'unknown' && isRead) {
    return ['Degraded', 'unknown', state.reason, state.message];
  }
  const troubles = TROUBLES.flatMap((find) => {
    const trouble = find(facts);
    return trouble === undefined ? [] : [trouble];
  });
  const [gravest] = troubles;
  if (gravest === undefined) return ['Degraded', 'false', 'Well', ''];
  const message = [...new Set(troubles.map(([, text]) => text))].join('. ');
  return ['Degraded', 'true', gravest[0], message];
}

function notRead({ isRead, state }: TroubleFacts): Trouble | undefined {
  return isRead ? undefined : ['NotRead', state.message];
}

/** Its manifest is damaged, or of a newer agent. */
function notUnderstood({ definition, conditions }: TroubleFacts): Trouble | undefined {
  if (definition.newer === undefined) return undefined;
  const type = isDamaged(definition) ? 'DamagedSpec' : 'NewerSpec';
  return [type, messageOf(conditions, type)];
}

function notOwned({ context, conditions }: TroubleFacts): Trouble | undefined {
  const stray = messageOf(conditions, 'StrayCopy');
  if (stray !== '') return ['StrayCopy', stray];
  const { unconfirmed } = context;
  if (unconfirmed === undefined) return undefined;
  // A node that has sent it says so within moments; one that does not know, or was never asked, does not.
  const { migrationId, isForgotten } = unconfirmed;
  if (migrationId !== '' && isForgotten !== true) return undefined;
  return ['OwnershipUncertain', `It is not started: ${whyUnconfirmed(unconfirmed)}`];
}

/** It stands still, has failed, or does not do what was asked of it. */
function stopped({ state, conditions }: TroubleFacts): Trouble | undefined {
  const { phase, reason, message } = state;
  const isStuck = mayStopAgain(state) || (phase === 'paused' && reason === 'PostCopyFailed');
  // One that is started again by itself is no operator's business.
  const strategy = conditions.find(({ type }) => type === 'RunStrategyFulfilled');
  const hasFailed = phase === 'failed' && strategy?.status === 'true';
  const isToBeDecided = TO_BE_DECIDED.includes(reason);
  return isStuck || hasFailed || isToBeDecided ? [reason, message] : undefined;
}

/** Somebody has changed it in a way that is not put back, or could not be. */
function driftedForGood({ drift, conditions }: TroubleFacts): Trouble | undefined {
  const drifted = conditions.find(({ type }) => type === 'Drifted');
  if (drifted === undefined) return undefined;
  const { reason, message, lastTransitionAtMs } = drifted;
  if (!mayBePutBack(drift)) return [reason, message];
  const isOverdue = Date.now() - lastTransitionAtMs > DRIFT_PATIENCE_MS;
  return isOverdue ? ['DriftNotRepaired', `${message}; that has not worked so far`] : undefined;
}

function notStartable({ conditions }: TroubleFacts): Trouble | undefined {
  const message = messageOf(conditions, 'Startable');
  return message === '' ? undefined : ['NotStartable', `It cannot be started: ${message}`];
}

/** Its run strategy starts it again and again. */
function backOff({ state, context }: TroubleFacts): Trouble | undefined {
  const { restart } = context;
  if (restart === undefined) return undefined;
  const { attempts, failedStarts } = restart;
  const fails = isOff(state) && failedStarts > 0;
  if (attempts < MANY_ATTEMPTS && !fails) return undefined;
  const past = pastStartsText(restart).replace(/^, /, '');
  const since = 'it counts as well once it has run for ten minutes';
  return ['BackOff', `Its run strategy starts it again and again: ${past}; ${since}`];
}

function messageOf(conditions: readonly Condition[], wanted: string): string {
  return conditions.find(({ type }) => type === wanted)?.message ?? '';
}
