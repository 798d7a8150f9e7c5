import { conditionChanges } from './condition-changes.ts';
import { contentChanges } from './content-changes.ts';
import { copyChanges } from './copy-changes.ts';
import { driftChanges } from './drift-changes.ts';
import type { EventNote } from './event.ts';
import { mediumChanges } from './medium-changes.ts';
import { pauseChanges } from './pause-changes.ts';
import { powerChanges } from './power-changes.ts';
import { restartChanges } from './restart-changes.ts';
import type { Happening, SeenChange } from './seen-change.ts';
import { watchdogChanges } from './watchdog-changes.ts';

/** Each says what has happened to one aspect of a VM. In the order in which it is told. */
const ASPECTS: readonly ((change: SeenChange) => readonly Happening[])[] = [
  copyChanges,
  contentChanges,
  driftChanges,
  mediumChanges,
  watchdogChanges,
  powerChanges,
  restartChanges,
  pauseChanges,
  conditionChanges,
];

/** What has happened to a VM between two looks, the later of which was then. */
export function vmChanges(change: SeenChange, atMs: number): readonly EventNote[] {
  const { vm } = change.now;
  return ASPECTS.flatMap((aspect) => aspect(change)).map((what) => ({ ...what, vm, atMs }));
}
