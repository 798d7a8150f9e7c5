import type { GuestCommand } from '../../drivers/hypervisor-guest-agent.ts';
import type { GuestRun } from './guest.ts';

/*
 * qemu-ga keeps up to 16 MiB of what a program writes and hands it over in one answer, after 10 MiB of which libvirt ends the
 * conversation for good. So a shell in the guest passes on what is wanted and one byte, which tells that there was more; the rest
 * goes nowhere, and the program does not notice. Descriptors 3 and 4 are what it was given as its outputs, 5 takes the exit code,
 * and 6 the way of the standard output past that of errors. Without an exit code the shell around the program was killed.
 */
const SCRIPT = `limit=$1; shift; exec 3>&1 4>&2
code=$( { { { { ( exec "$@" ) 3>&- 4>&- 5>&- 6>&-; echo $? >&5; } 2>&1 >&6 |
  { head -c "$limit"; cat >/dev/null; } >&4; } 6>&1 |
  { head -c "$limit"; cat >/dev/null; } >&3; } 5>&1; } )
exit "\${code:-255}"`;

/** Runs a program by a shell of the guest, which lets only so much of its outputs pass. */
export function boundedCommand({ program, args, stdin, captureBytes }: GuestRun): GuestCommand {
  const limit = String(captureBytes + 1);
  return { program: '/bin/sh', args: ['-c', SCRIPT, 'sh', limit, program, ...args], stdin };
}
