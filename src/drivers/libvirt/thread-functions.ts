import { type Argument, encodeCall, parsePrototype, readOutputs, toNumber } from './c-call.ts';
import { freeMemory, readText } from './c-memory.ts';
import type { CallThread } from './call-threads.ts';

/* Functions of C that block, each called in a thread of its own. */

/** Does in a thread what `F` does. */
type InThread<F> = F extends (...values: infer Values) => infer Result
  ? (...values: Values) => Promise<Result>
  : never;

/** What makes a function of C one that is done in a thread. */
export type Declared<F> = (thread: CallThread) => InThread<F>;
type Bound<T extends Record<string, Declared<never>>> = { [Name in keyof T]: ReturnType<T[Name]> };

export function declareInThread<F>(
  addressOf: (symbol: string) => bigint,
  text: string,
): Declared<F> {
  const prototype = parsePrototype(text);
  const address = addressOf(prototype.name);
  const call = async (thread: CallThread, values: readonly Argument[]): Promise<unknown> => {
    const result = await thread.call(encodeCall(address, prototype, values));
    readOutputs(result.call, prototype, values);
    if (prototype.result !== 'owned-text') return toNumber(result.word, prototype.result);
    if (result.word === 0n) return null;
    try {
      return readText(result.word);
    } finally {
      freeMemory(result.word);
    }
  };
  return (thread) => ((...values: readonly Argument[]) => call(thread, values)) as InThread<F>;
}

export function bindAll<T extends Record<string, Declared<never>>>(
  all: T,
  thread: CallThread,
): Bound<T> {
  const bound = Object.entries(all).map(([name, declared]) => [name, declared(thread)]);
  return Object.fromEntries(bound) as Bound<T>;
}
