import type { Reason } from '../../core/errors.ts';
import type { GuestProblem } from '../hypervisor-guest-agent.ts';
import { plainText } from './guest-words.ts';

/* What libvirt says when it has asked a guest's agent and not come far. Only its words tell most of it apart. */

/** virterror.h: virErrorNumber */
export const AGENT_UNRESPONSIVE = 86;
const AGENT_UNSYNCED = 97;
const AGENT_COMMAND_TIMEOUT = 112;
const AGENT_COMMAND_FAILED = 113;

/** What `readGuestAddresses` is called where it has not asked the guest. */
export const ADDRESSES_BY_HOST = 'readHostAddresses';

const OPERATIONS: ReadonlySet<string> = new Set([
  'readGuestFacts',
  'readGuestAddresses',
  'readGuestOnline',
  'freezeGuest',
  'thawGuest',
  'isGuestFrozen',
  'setGuestPassword',
  'syncGuestTime',
  'startGuestCommand',
  'findGuestCommandEnd',
]);

interface Rule {
  readonly codes?: readonly number[];
  readonly words?: RegExp;
  readonly reason: Reason;
  /** Why, and what to do about it; `said` is what the words have in their first group. */
  readonly text: (said: string) => string;
}

const RESTART = 'restart qemu-guest-agent in the guest (systemctl restart qemu-guest-agent)';
const UPDATE = 'update or reinstall qemu-guest-agent in the guest';

/** Whether a guest that has failed with this would not answer another question either. */
export function isSilence(code: number): boolean {
  return code === AGENT_UNRESPONSIVE || code === AGENT_COMMAND_TIMEOUT;
}

/** The first that fits counts. In the words of libvirt 9 to 11. */
const RULES: readonly Rule[] = [
  {
    words: /agent is not connected/i,
    reason: 'GUEST_AGENT_NOT_CONNECTED',
    text: () =>
      'no guest agent listens in the guest; install qemu-guest-agent there, start it, and wait until it is up',
  },
  {
    words: /agent is not configured/i,
    reason: 'GUEST_AGENT_NOT_CONNECTED',
    text: () =>
      'the VM has no channel for a guest agent; give it one (virsh edit: a channel whose target is org.qemu.guest_agent.0) and start it anew',
  },
  {
    words: /not available due to an error/i,
    reason: 'GUEST_AGENT_NOT_CONNECTED',
    text: () =>
      `libvirt listens to the guest agent no longer, as it has answered what makes no sense, or more than 10 MiB; ${RESTART}`,
  },
  {
    words:
      /No complete agent response|End of file from agent|Unable to (?:read from|write to) agent|Parsed JSON reply|Unknown JSON reply|cannot parse json/i,
    reason: 'GUEST_ANSWER_INVALID',
    text: () =>
      `the guest agent has answered what makes no sense, or more than 10 MiB, and libvirt listens to it no longer; ${RESTART}`,
  },
  {
    codes: [AGENT_UNSYNCED],
    reason: 'GUEST_ANSWER_INVALID',
    text: () => `the guest agent answers what was not asked; ${RESTART}`,
  },
  {
    words: /agent disappeared/i,
    reason: 'GUEST_AGENT_TIMEOUT',
    text: () =>
      'the guest agent went away while it was asked, and what was asked for may have happened; try again when it is back',
  },
  {
    codes: [AGENT_UNRESPONSIVE, AGENT_COMMAND_TIMEOUT],
    reason: 'GUEST_AGENT_TIMEOUT',
    text: () =>
      `the guest agent does not answer, and what was asked for may happen yet; see whether the guest is well (novactl vm log), and ${RESTART}`,
  },
  {
    words: /(?:has been|is) disabled|has not been found|not allowed/i,
    reason: 'GUEST_AGENT_REFUSED',
    text: () =>
      'the guest agent does not take this command: while file systems are frozen it takes almost none (novactl vm guest thaw), its settings in the guest may forbid it (block-rpcs, allow-rpcs), or it is too old',
  },
  {
    words: /Guest agent command failed, error was '(.*)'$/is,
    reason: 'GUEST_AGENT_REFUSED',
    text: guestSays,
  },
  {
    words: /unable to execute QEMU agent command '[^']*': (.*)$/is,
    reason: 'GUEST_AGENT_REFUSED',
    text: guestSays,
  },
  {
    codes: [AGENT_COMMAND_FAILED],
    reason: 'GUEST_AGENT_REFUSED',
    text: () => 'the guest agent says that it has failed, and not why; read its log in the guest',
  },
  {
    words:
      /unable to execute QEMU agent command|malformed|missing|array|object|didn't|unexpected|too many|invalid|Unable to encode/i,
    reason: 'GUEST_ANSWER_INVALID',
    text: () => `the guest agent answers what makes no sense; ${UPDATE}`,
  },
];

/** Of what the host alone was asked for. */
const HOST_RULES: readonly Rule[] = [
  {
    // libvirt before 10 does not take the end of the table as kernels from 6.9 on tell it.
    words: /wrong nlmsg len|malformed netlink/i,
    reason: 'FEATURE_NOT_SUPPORTED',
    text: () =>
      "libvirt cannot read the table of neighbours of this node's kernel, which is newer; update libvirt, or ask the guest agent",
  },
];

/** Why a guest could not be asked, in words that follow "Cannot …: "; undefined for what has nothing to do with the guest. */
export function findGuestRefusal(
  { code, message }: { readonly code: number; readonly message: string },
  operation: string,
): GuestProblem | undefined {
  const rules = operation === ADDRESSES_BY_HOST ? HOST_RULES : RULES;
  if (rules === RULES && !OPERATIONS.has(operation)) return undefined;
  for (const { codes, words, reason, text } of rules) {
    const match = words?.exec(message);
    if (codes?.includes(code) === true || match != null) {
      return { reason, message: text(match?.[1] ?? '') };
    }
  }
  return undefined;
}

function guestSays(said: string): string {
  return `the guest agent says: ${plainText(said)}`;
}
