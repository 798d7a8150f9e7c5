import { codeOf } from '../../core/file-words.ts';
import { Patience } from './patience.ts';

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
  /** How long those that go on are waited for after the last that has ended. */
  readonly timeoutMs: number;
  /** Whether doctor may look at everything. */
  readonly isRoot: boolean;
}

/**
 * Runs all checks at once. One that hangs or throws is a finding of its own and holds up no other. On a slow machine each takes long,
 * but one after another ends.
 */
export async function runChecks(
  checks: readonly Check[],
  { timeoutMs, isRoot }: RunOptions,
  signal: AbortSignal,
): Promise<readonly CheckResult[]> {
  using patience = new Patience(timeoutMs);
  return await Promise.all(
    checks.map(async ({ name, run }) => {
      const finding = await runCheck(run, { patience, isRoot }, signal);
      patience.renew();
      return { name, ...finding };
    }),
  );
}

async function runCheck(
  run: Check['run'],
  { patience, isRoot }: { readonly patience: Patience; readonly isRoot: boolean },
  signal: AbortSignal,
): Promise<Finding> {
  const ended = Promise.withResolvers<Finding>();
  const stop = new AbortController();
  const giveUp = () => {
    ended.resolve(
      failure(
        `Still no answer ${patience.ms / 1000}s after the last that came`,
        'Something hangs: see what with "ps -eo pid,stat,wchan,args" and "dmesg"',
      ),
    );
    stop.abort(new DOMException('The check took too long', 'TimeoutError'));
  };
  patience.ended.addEventListener('abort', giveUp, { once: true });
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
    patience.ended.removeEventListener('abort', giveUp);
    signal.removeEventListener('abort', interrupt);
  }
}
