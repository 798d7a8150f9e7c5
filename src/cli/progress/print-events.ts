import type { Event } from '../../client/api.ts';
import type { ResumeOptions } from '../../client/resume.ts';
import type { ResourceEvent } from '../../client/watch.ts';
import { printable } from '../output/table.ts';
import type { CliIo } from '../process/cli-io.ts';
import {
  eventDocument,
  eventTypeWord,
  eventVmName,
  lastTimeMs,
  timesText,
} from '../views/event-view.ts';

/** Wide enough for most; what comes later cannot make them wider. */
const WIDTHS = [9, 7, 18, 20];

/** Prints the events that there are by when they last happened, then each that happens, until Ctrl-C or nobody reads it. */
export async function printEvents(
  io: CliIo,
  { isJson, sinceMs }: { readonly isJson: boolean; readonly sinceMs: number },
  watch: (options: ResumeOptions) => AsyncIterable<ResourceEvent<Event>>,
): Promise<void> {
  const onLost = () => {
    io.stderr.write('The connection to the agent was lost; connecting again\n');
  };
  const print = (event: Event) => {
    if (lastTimeMs(event) < sinceMs) return;
    io.stdout.write(isJson ? `${JSON.stringify(eventDocument(event))}\n` : line(event));
  };
  if (!isJson) io.stdout.write(columns(['LAST SEEN', 'TYPE', 'REASON', 'VM', 'MESSAGE']));
  /** What was there already; undefined once it is printed. */
  let earlier: Event[] | undefined = [];
  for await (const change of watch({ signal: io.signal, onLost })) {
    if (change.type === 'synced') {
      for (const event of earlier?.toSorted(byLastTime) ?? []) print(event);
      earlier = undefined;
    } else if (change.type !== 'deleted') {
      if (earlier === undefined) print(change.object);
      else earlier.push(change.object);
    }
    if (io.stdout.fault !== undefined) return;
  }
}

function byLastTime(one: Event, other: Event): number {
  return lastTimeMs(one) - lastTimeMs(other);
}

/** With the time of the clock, as an age would soon be wrong. */
function line(event: Event): string {
  const time = new Date(lastTimeMs(event)).toTimeString().slice(0, 8);
  const { reason, message } = event;
  const text = `${message}${timesText(event)}`;
  return columns([time, eventTypeWord(event), reason, eventVmName(event), text]);
}

function columns(cells: readonly string[]): string {
  const padded = cells.map((cell, index) => printable(cell).padEnd(WIDTHS[index] ?? 0));
  return `${padded.join('   ').trimEnd()}\n`;
}
