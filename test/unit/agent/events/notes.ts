import type { EventNote, EventVm } from '../../../../src/agent/events/event.ts';
import type { EventReason } from '../../../../src/agent/events/event-reasons.ts';

/** What is old is forgotten. */
const NOW_MS = Date.now();

export function vmNamed(name: string): EventVm {
  return { namespace: 'default', name, uid: `uid-of-${name}` };
}

/** Something that has happened to VM web lately. */
export function noted(reason: EventReason, changes: Partial<EventNote> = {}): EventNote {
  return { vm: vmNamed('web'), reason, message: reason, atMs: NOW_MS, ...changes };
}
