import { statSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import type { ImagePlace, ImageSighting, MarkedImage, MarkedPlace } from '../disk-probe.ts';
import { FolderMarks } from './folder-marks.ts';
import { locateFile, readBlock, unknown } from './image-facts.ts';
import { MAX_MARK_MS, type ProbeAnswer, type ProbeRequest } from './probe-protocol.ts';

/*
 * A process of its own, because a file on storage that has gone away keeps whoever looks at it for ever: of the agent
 * it would keep one of the few threads that all of its files go through. Its input ends with the agent, however that
 * ends, so its marks do too.
 */

const marks = new FolderMarks();

function mark(place: ImagePlace): MarkedImage {
  if (place.kind === 'block') return readBlock(place) ?? unknown('it does not exist');
  const located = locateFile(place);
  if (located === undefined) return unknown('it does not exist');
  if ('problem' in located) return located;
  try {
    return { ...located.facts, mark: marks.in(located.folder) };
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    return unknown(`no file can be made beside it, in ${located.folder} (${code})`);
  }
}

function look(place: MarkedPlace): ImageSighting {
  if (place.kind === 'block') return readBlock(place) ?? { kind: 'missing' };
  const located = locateFile(place);
  if (located === undefined) return { kind: 'missing' };
  if ('problem' in located) return located;
  // Only what is certain is said to be another: a failure is none.
  const marked = statSync(path.join(located.folder, place.mark), { throwIfNoEntry: false });
  return marked === undefined ? { kind: 'other' } : located.facts;
}

function say(answer: () => ProbeAnswer): void {
  let line: ProbeAnswer;
  try {
    line = answer();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    line = unknown(`it cannot be looked at (${code ?? message})`);
  }
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

function answerTo(request: ProbeRequest): void {
  if (request.verb === 'look') for (const place of request.images) say(() => look(place));
  else for (const place of request.images) say(() => mark(place));
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
  answerTo(request);
  if (request.verb === 'look') process.stdout.end(end);
});
lines.once('close', end);
