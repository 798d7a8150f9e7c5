import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

type Collect = (options: {
  readonly type: 'major' | 'minor';
  readonly execution: 'sync';
  readonly flavor?: 'last-resort';
}) => void;

/** Has V8 collect garbage when that suits us. Nobody is answered meanwhile. */
export class GarbageCollector {
  #collect: Collect | undefined;

  /** All of it, and moves what is left together: a collection that V8 makes by itself leaves the heap as large as it was. */
  collectAll(): void {
    this.#get()({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  }

  /** That of what was made since the last such collection: takes a millisecond. */
  collectYoung(): void {
    this.#get()({ type: 'minor', execution: 'sync' });
  }

  #get(): Collect {
    if (this.#collect === undefined) {
      setFlagsFromString('--expose-gc');
      this.#collect = runInNewContext('gc') as Collect;
    }
    return this.#collect;
  }
}
