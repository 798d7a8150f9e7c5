import { codeOf } from '../../core/file-words.ts';

/** What a check found; `fix` says what to do unless all is well. */
export interface Finding {
  readonly level: 'ok' | 'warning' | 'failure' | 'skipped';
  readonly detail: string;
  readonly fix?: string;
  /** What to say instead where one of these checks has failed and tells why. */
  readonly follows?: { readonly from: readonly string[]; readonly detail: string };
}

export interface Check {
  readonly name: string;
  readonly run: (signal: AbortSignal) => Promise<Finding>;
}

export interface CheckResult extends Finding {
  readonly name: string;
}

export function ok(detail: string): Finding {
  return { level: 'ok', detail };
}

export function warning(detail: string, fix: string): Finding {
  return { level: 'warning', detail, fix };
}

export function failure(detail: string, fix: string): Finding {
  return { level: 'failure', detail, fix };
}

export function skipped(detail: string): Finding {
  return { level: 'skipped', detail };
}

interface RunOptions {
  /** How long each may take. */
  readonly timeoutMs: number;
  /** Whether doctor may look at everything. */
  readonly isRoot: boolean;
}

/** Runs all checks at once. One that hangs or throws is a finding of its own and holds up no other. */
export function runChecks(
  checks: readonly Check[],
  options: RunOptions,
  signal: AbortSignal,
): Promise<readonly CheckResult[]> {
  return Promise.all(
    checks.map(async ({ name, run }) => ({ name, ...(await runCheck(run, options, signal)) })),
  );
}

async function runCheck(
  run: Check['run'],
  { timeoutMs, isRoot }: RunOptions,
  signal: AbortSignal,
): Promise<Finding> {
  const ended = Promise.withResolvers<Finding>();
  const stop = new AbortController();
  const timer = setTimeout(() => {
    ended.resolve(
      failure(
        `No answer within ${timeoutMs / 1000}s`,
        'Something hangs: see what with "ps -eo pid,stat,wchan,args" and "dmesg"',
      ),
    );
    stop.abort(new DOMException('The check took too long', 'TimeoutError'));
  }, timeoutMs);
  const interrupt = () => ended.reject(signal.reason);
  signal.addEventListener('abort', interrupt, { once: true });
  try {
    const finding = run(AbortSignal.any([signal, stop.signal])).catch((error: unknown) => {
      if (codeOf(error) === 'EACCES' && !isRoot) {
        const what = error instanceof Error && 'path' in error ? ` ${String(error.path)}` : ' it';
        return skipped(`Only root may look at${what}: run doctor with sudo`);
      }
      const why = error instanceof Error ? error.message : String(error);
      return failure(`The check itself failed: ${why}`, 'Look into the message above');
    });
    return await Promise.race([finding, ended.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', interrupt);
  }
}
