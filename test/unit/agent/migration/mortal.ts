/** Why an agent does nothing any more. */
class Killed extends Error {}

/** The life of one agent: it counts what the agent does to the world, and can end before or after any of it. */
export class Life {
  /** The steps so far, for whoever wants to know where it ended. */
  readonly steps: string[] = [];
  readonly #dead = Promise.withResolvers<never>();
  #killAtStep = Number.POSITIVE_INFINITY;
  #killed = false;

  constructor() {
    this.#dead.promise.catch(() => undefined);
  }

  get killed(): boolean {
    return this.#killed;
  }

  /** Rejects once it has ended. */
  get death(): Promise<never> {
    return this.#dead.promise;
  }

  /** Ends at the nth step from now. */
  killAt(step: number): void {
    this.#killAtStep = this.steps.length + step;
  }

  kill(): void {
    this.#killed = true;
    this.#dead.reject(new Killed('killed'));
  }

  /** One step; false if there is nobody to take it. */
  step(name: string): boolean {
    if (this.#killed) return false;
    this.steps.push(name);
    if (this.steps.length >= this.#killAtStep) this.kill();
    return !this.#killed;
  }

  /** Lets an agent use something whose methods answer later. Its own end cuts off the answer, or the call. */
  guard<T extends object>(name: string, target: T, unguarded: readonly string[] = []): T {
    return proxyOf(target, unguarded, (method, call) => {
      if (!this.step(`before ${name}.${method}`)) return never();
      return (call() as Promise<unknown>).then(
        (value) => (this.step(`after ${name}.${method}`) ? value : never()),
        (error: unknown) => {
          if (this.step(`after ${name}.${method} failed`)) throw error;
          return never();
        },
      );
    });
  }
}

function never(): Promise<never> {
  return new Promise(() => {});
}

function proxyOf<T extends object>(
  target: T,
  unguarded: readonly string[],
  around: (method: string, call: () => unknown) => unknown,
): T {
  return new Proxy(target, {
    get(_, key) {
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      const method = String(key);
      return (...parameters: unknown[]) => {
        const call = (): unknown => Reflect.apply(value, target, parameters);
        return unguarded.includes(method) ? call() : around(method, call);
      };
    },
  });
}
