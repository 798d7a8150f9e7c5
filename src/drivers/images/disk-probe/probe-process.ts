import { statSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type {
  ImagePlace,
  ImageSighting,
  MarkedImage,
  MarkedPlace,
  OpenPlace,
} from '../../disk-probe.ts';
import { AllowedPlaces, type Place } from '../allowed-places.ts';
import { findDeviceUse } from '../device-use.ts';
import { FolderMarks } from './folder-marks.ts';
import { locateFile, readBlock, unknown } from './image-facts.ts';
import { isOpenedBy } from './open-files.ts';
import { MAX_MARK_MS, type ProbeAnswer, type ProbeRequest } from './probe-protocol.ts';

/*
 * A process of its own, because a file on storage that has gone away keeps whoever looks at it for ever: of the agent
 * it would keep one of the few threads that all of its files go through. Its input ends with the agent, however that
 * ends, so its marks do too.
 */

const marks = new FolderMarks();

async function mark(place: OpenPlace, places: AllowedPlaces): Promise<MarkedImage> {
  const { real, problem } = await locate(place, places);
  if (problem !== undefined) return unknown(problem);
  const { kind, vmUid } = place;
  if (kind === 'file' && vmUid !== undefined && (await isOpenedBy(vmUid, real)) === false) {
    return { kind: 'replaced' };
  }
  if (real === undefined) return unknown('it does not exist');
  if (place.kind === 'block') return readBlock(real);
  const located = locateFile(real, place.format);
  if ('problem' in located) return located;
  try {
    return { ...located.facts, mark: marks.in(located.folder) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return unknown(`no file can be made beside it, in ${located.folder} (${code})`);
  }
}

async function look(place: MarkedPlace, places: AllowedPlaces): Promise<ImageSighting> {
  const { real, problem } = await locate(place, places);
  if (problem !== undefined) return { kind: 'refused', problem };
  if (real === undefined) return { kind: 'missing' };
  if (place.kind === 'block') {
    const use = await findDeviceUse(real);
    return use === undefined ? readBlock(real) : { kind: 'refused', problem: use };
  }
  const located = locateFile(real, place.format);
  if ('problem' in located) return located;
  // Only what is certain is said to be another: a failure is none.
  const marked = statSync(path.join(located.folder, place.mark), { throwIfNoEntry: false });
  return marked === undefined ? { kind: 'other' } : located.facts;
}

async function locate({ kind, path: named }: ImagePlace, places: AllowedPlaces) {
  const place: Place =
    kind === 'block' ? await places.findDevice(named) : await places.findFile(named, 'disk');
  return { real: place.real, problem: place.real === undefined ? place.problem?.text : undefined };
}

async function say(answer: Promise<ProbeAnswer>): Promise<void> {
  let line: ProbeAnswer;
  try {
    line = await answer;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    line = unknown(`it cannot be looked at (${code ?? message})`);
  }
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** One after the other, as that is how they are answered for. */
async function answerTo(request: ProbeRequest): Promise<void> {
  const places = new AllowedPlaces(request.places);
  if (request.verb === 'look') for (const place of request.images) await say(look(place, places));
  else for (const place of request.images) await say(mark(place, places));
}

function end(): void {
  marks[Symbol.dispose]();
  process.exit(0);
}

setTimeout(end, MAX_MARK_MS);
process.on('SIGTERM', end);
// Whoever asked has gone.
process.stdout.on('error', end);
const lines = createInterface({ input: process.stdin });
lines.once('line', (line) => {
  const request = JSON.parse(line) as ProbeRequest;
  void answerTo(request).then(() => {
    if (request.verb === 'look') process.stdout.end(end);
  });
});
lines.once('close', end);
