import { AsyncLocalStorage } from 'node:async_hooks';
import { type Logger, pino } from 'pino';
import type { LogLevel } from './log-level.ts';

export type { Logger };
export type LogFields = Readonly<Record<string, string | number>>;

const context = new AsyncLocalStorage<LogFields>();

/** Adds fields to every line logged while `work` runs. */
export function withLogFields<T>(fields: LogFields, work: () => T): T {
  return context.run({ ...context.getStore(), ...fields }, work);
}

/**
 * Where it is written who has changed something or was refused it: beside the other lines, whatever level these have, `silent`
 * included.
 */
export function auditLog(log: Logger): Logger {
  return log.child({ audit: true }, { level: 'info' });
}

/** JSON lines on stdout, with the fields of `withLogFields` in each. */
export function createLogger(level: LogLevel): Logger {
  return pino({
    level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    mixin: () => context.getStore() ?? {},
  });
}
