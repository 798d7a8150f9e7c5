import { AgentError } from '../core/errors.ts';

/** A part of an answer that every agent sends. */
export function required<T>(part: T | undefined, name: string): T {
  if (part !== undefined) return part;
  throw new AgentError('INTERNAL', `The agent's answer has no ${name}`);
}
