import { AgentError, type ErrorKind } from '../../core/errors.ts';

/** What novactl answers to the shell. Documented in --help and docs/novactl.md; never change one. */
export const EXIT_CODES = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  refused: 4,
  unreachable: 5,
  denied: 6,
  timedOut: 7,
  interrupted: 130,
} as const;

type ExitCode = (typeof EXIT_CODES)[keyof typeof EXIT_CODES];

export const EXIT_CODE_MEANINGS: Readonly<Record<keyof typeof EXIT_CODES, string>> = {
  ok: 'done',
  failure: 'failed, or a migration or check ended badly, or the output could not be written',
  usage: 'wrong command line or contexts file',
  notFound: 'no such VM, migration or operation',
  refused: 'invalid request, or something stands in the way',
  unreachable: 'the agent, its hypervisor or a peer cannot be reached',
  denied: 'not permitted',
  timedOut: 'timed out; the outcome may not be known',
  interrupted: 'interrupted by Ctrl-C',
};

const BY_KIND: Readonly<Record<ErrorKind, ExitCode>> = {
  'invalid-argument': EXIT_CODES.refused,
  'not-found': EXIT_CODES.notFound,
  'already-exists': EXIT_CODES.refused,
  'permission-denied': EXIT_CODES.denied,
  unauthenticated: EXIT_CODES.denied,
  'resource-exhausted': EXIT_CODES.refused,
  'failed-precondition': EXIT_CODES.refused,
  aborted: EXIT_CODES.refused,
  unimplemented: EXIT_CODES.refused,
  unavailable: EXIT_CODES.unreachable,
  'deadline-exceeded': EXIT_CODES.timedOut,
  internal: EXIT_CODES.failure,
};

/** The reason of the signal that Ctrl-C aborts. */
export class Interrupted extends Error {
  override readonly name = 'Interrupted';
}

/** Makes the command end with a code, be it another program's, after it has said everything itself. */
export class Exit extends Error {
  override readonly name = 'Exit';
  readonly code: number;

  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

export function exitCodeOf(error: unknown): number {
  if (error instanceof Exit) return error.code;
  if (error instanceof Interrupted) return EXIT_CODES.interrupted;
  if (error instanceof DOMException && error.name === 'TimeoutError') return EXIT_CODES.timedOut;
  if (!(error instanceof AgentError)) return EXIT_CODES.failure;
  if (error.reason === 'INVALID_CONFIG') return EXIT_CODES.usage;
  return BY_KIND[error.kind];
}
