import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: {
  readonly type: 'major' | 'minor';
  readonly execution: 'sync';
  readonly flavor?: 'last-resort';
}) => void;

let collect: Collect | undefined;

/** All of it, and moves what is left together: a collection that V8 makes by itself leaves the heap as large as it was. */
export function collectAllGarbage(): void {
  gc()({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

/** That of what was made since the last such collection: takes a millisecond. */
export function collectYoungGarbage(): void {
  gc()({ type: 'minor', execution: 'sync' });
}

function gc(): Collect {
  if (collect === undefined) {
    setFlagsFromString('--expose-gc');
    collect = runInNewContext('gc') as Collect;
  }
  return collect;
}
