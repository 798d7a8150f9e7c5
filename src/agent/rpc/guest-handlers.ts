import type { VirtualMachineRef } from '../../gen/novacron/agent/v1/common.ts';
import type { GuestServiceService } from '../../gen/novacron/agent/v1/guest.ts';
import type { GuestRun, GuestService } from '../guests/guest.ts';
import type { VmRef } from '../vms/vm.ts';
import type { ServiceHandlers } from './bind-service.ts';
import type { CallContext } from './call-context.ts';
import { fromRef } from './common-conversion.ts';
import { toUint32 } from './count-conversion.ts';
import { FieldChecks } from './field-checks.ts';
import { toFreeze, toGuest } from './guest-conversion.ts';
import { fromBoundedDuration } from './time-conversion.ts';
import { vmFields } from './virtual-machine-conversion.ts';

const MIB = 1024 * 1024;

const RUN_TIMEOUT = { minMs: 1_000, maxMs: 3_600_000 };
const DEFAULT_RUN_TIMEOUT_MS = 20_000;
const FREEZE_TIMEOUT = { minMs: 1_000, maxMs: 600_000 };
const DEFAULT_FREEZE_TIMEOUT_MS = 60_000;

const MAX_PROGRAM_BYTES = 4_096;
const MAX_ARGS = 1_024;
const MAX_ARGS_BYTES = 256 * 1024;
/** Twice this and its encoding are still less than libvirt hands over at once. */
const MAX_CAPTURE_BYTES = MIB;
const MAX_USER_BYTES = 256;
const MAX_PASSWORD_BYTES = 1_024;
/** Of a command, for the audit log. */
const MAX_LOGGED_CHARACTERS = 1_024;

export function guestHandlers(guests: GuestService): ServiceHandlers<GuestServiceService> {
  return {
    async getGuest({ ref }, context) {
      const vm = readRef(ref, new FieldChecks(), context, 'Cannot tell of a guest');
      return { guest: toGuest(await guests.get(vm, context.signal)) };
    },

    async runGuestCommand(request, context) {
      const checks = new FieldChecks();
      const run = readRun(request, checks);
      const words = JSON.stringify([run.program, ...run.args]);
      context.about({ command: words.slice(0, MAX_LOGGED_CHARACTERS) });
      const vm = readRef(request.ref, checks, context, 'Cannot run a program in a guest');
      const end = await guests.run(vm, run, context.signal);
      context.about({ pid: end.pid });
      return {
        pid: BigInt(end.pid),
        exitCode: end.exitCode,
        signal: end.signal,
        stdout: Buffer.from(end.stdout),
        stderr: Buffer.from(end.stderr),
        stdoutTruncated: end.isStdoutCut,
        stderrTruncated: end.isStderrCut,
      };
    },

    async setGuestPassword({ ref, user, password, crypted }, context) {
      const checks = new FieldChecks();
      checks.text('user', user, MAX_USER_BYTES);
      if (user === '') checks.add('user', 'is required');
      if (user.includes(':')) checks.add('user', 'must not hold a colon');
      checks.text('password', password, MAX_PASSWORD_BYTES);
      if (password === '') checks.add('password', 'is required');
      context.about({ user });
      const vm = readRef(ref, checks, context, 'Cannot set a password in a guest');
      await guests.setPassword(vm, { user, password, isCrypted: crypted }, context.signal);
      return {};
    },

    async freezeGuest({ ref, timeout }, context) {
      const checks = new FieldChecks();
      const timeoutMs =
        fromBoundedDuration(timeout, 'timeout', FREEZE_TIMEOUT, checks) ??
        DEFAULT_FREEZE_TIMEOUT_MS;
      const vm = readRef(ref, checks, context, 'Cannot freeze the file systems of a guest');
      context.about({ timeoutMs });
      const request = { timeoutMs, requestedBy: context.caller.identity };
      const freeze = await guests.freeze(vm, request, context.signal);
      const { fileSystems } = freeze;
      return {
        fileSystems: fileSystems === undefined ? undefined : toUint32(fileSystems),
        freeze: toFreeze(freeze),
      };
    },

    async thawGuest({ ref, force }, context) {
      const what = 'Cannot thaw the file systems of a guest';
      const vm = readRef(ref, new FieldChecks(), context, what);
      if (force) context.about({ force: 1 });
      const thawed = await guests.thaw(vm, { isForced: force }, context.signal);
      return { fileSystems: toUint32(thawed) };
    },

    async syncGuestTime({ ref }, context) {
      const vm = readRef(ref, new FieldChecks(), context, 'Cannot set the clock of a guest');
      await guests.syncTime(vm, context.signal);
      return {};
    },
  };
}

function readRun(
  request: {
    readonly program: string;
    readonly args: readonly string[];
    readonly stdin: Uint8Array;
    readonly timeout?: Parameters<typeof fromBoundedDuration>[0];
    readonly captureBytes?: number | undefined;
  },
  checks: FieldChecks,
): GuestRun {
  const { program, args, stdin, captureBytes = MAX_CAPTURE_BYTES } = request;
  checks.text('program', program, MAX_PROGRAM_BYTES);
  if (program === '') checks.add('program', 'is required');
  checks.integer('args', args.length, 0, MAX_ARGS);
  // A program is given its words up to the first of these.
  if (args.some((word) => word.includes('\0'))) checks.add('args', 'must not hold NUL characters');
  const argsBytes = args.reduce((sum, word) => sum + Buffer.byteLength(word), 0);
  if (argsBytes > MAX_ARGS_BYTES) {
    checks.add('args', `must have at most ${MAX_ARGS_BYTES} bytes in all`);
  }
  if (stdin.length > MIB) checks.add('stdin', `must have at most ${MIB} bytes`);
  checks.integer('captureBytes', captureBytes, 0, MAX_CAPTURE_BYTES);
  const timeoutMs =
    fromBoundedDuration(request.timeout, 'timeout', RUN_TIMEOUT, checks) ?? DEFAULT_RUN_TIMEOUT_MS;
  return { program, args, stdin, timeoutMs, captureBytes };
}

function readRef(
  message: VirtualMachineRef | undefined,
  checks: FieldChecks,
  context: CallContext,
  what: string,
): VmRef {
  const ref = fromRef(message, 'ref', checks);
  context.about(vmFields(ref));
  checks.throwIfAny('INVALID_REQUEST', what);
  return ref;
}
