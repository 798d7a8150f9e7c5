import type { AgentClient } from '../../client/agent-client.ts';
import { type Condition, ConditionStatus, type Node } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import type { AgentEnd } from '../../core/agent-end.ts';
import { delay } from '../../core/delay.ts';
import { AgentError, hasReason } from '../../core/errors.ts';
import { hintFor } from '../errors/hints.ts';
import type { AgentSettings } from './agent-settings.ts';
import { type Finding, failure, ok, skipped, warning } from './check.ts';

const NO_HINT = "Look into the agent's log: journalctl -u novacron-agent, or kubectl logs";

/** Conditions that may be False on a node that works all the same, and what to do then. */
const ADVISORY: Readonly<Record<string, string>> = {
  VirtualMachinesIdentified:
    'Look for what libvirt waits for: virsh domjobinfo UID, journalctl -u libvirtd; novactl node get lists them with their uids',
  MemoryAvailable:
    'novactl node get shows who has it; stop VMs or migrate them, and those that no agent has made with virsh',
  AcceleratorAvailable:
    "Switch on (nested) virtualization for this machine and look at the kernel's log: dmesg | grep -i kvm; if emulation is meant, set hypervisor.accelerator to tcg",
  CertificateValid: 'Nobody but who is on this node reaches it until then: novactl node get',
  VirtualMachinesRunning: 'See what each waits for: novactl vm list -o wide',
};

/** As the client words it. */
const UNKNOWN_NAME = 'the host name is not known';

/** What else doctor looks at that would tell why a condition does not hold. */
const CAUSES: Readonly<Record<string, readonly string[]>> = {
  HypervisorConnected: ['libvirt socket', 'libvirt'],
  StorageHealthy: ['disk space'],
};
const HINTS: Readonly<Record<string, string>> = {
  HypervisorConnected: 'Look at libvirt on that node: systemctl status virtqemud libvirtd',
  StorageHealthy:
    'Look at the disk of its state directory: df -h, dmesg; leave alone what the agent has there, which is all it knows of its VMs',
};
const ACCEPT_HINT =
  'See what libvirt waits for: virsh dumpxml UID; if the agent shall go on without knowing these VMs: novactl node accept-unidentified';

/** An agent that has just started still connects to libvirt, and reads its VMs. */
const STARTING_MS = 30_000;
const ASK_AGAIN_MS = 500;

/** Asks the agent about its node, for so long again while it is just starting; of one that is not there, what it has said when it ended. */
export async function checkAgent(
  getNode: () => Promise<Node>,
  findEnd: () => Promise<AgentEnd | undefined>,
  waitMs: number,
  signal: AbortSignal,
): Promise<Finding> {
  const end = performance.now() + waitMs;
  for (;;) {
    let node: Node;
    try {
      node = await getNode();
    } catch (error) {
      const said = hasReason(error, 'AGENT_UNREACHABLE') ? await findEnd() : undefined;
      return said === undefined ? unreachable(error) : ended(said);
    }
    const finding = judgeNode(node);
    if (finding.level !== 'failure' || !isStarting(node) || performance.now() > end) return finding;
    await delay(ASK_AGAIN_MS, signal);
  }
}

function isStarting({ status }: Node): boolean {
  const { agentStartTime: started } = status ?? {};
  return started !== undefined && Math.abs(Date.now() - timestampMs(started)) < STARTING_MS;
}

export function judgeNode({ metadata, spec, status }: Node): Finding {
  const isCordoned = spec?.cordon === true;
  const isGoingDown = status?.shutdown !== undefined;
  const bad = (status?.conditions ?? []).filter(
    (condition) =>
      condition.status !== ConditionStatus.CONDITION_STATUS_TRUE &&
      ADVISORY[condition.type] === undefined &&
      !((isCordoned || isGoingDown) && condition.type === 'Schedulable'),
  );
  const name = `agent ${status?.agentVersion ?? ''} of node ${metadata?.name ?? ''}`;
  if (bad.length === 0 && isGoingDown) {
    const detail = `${name} is ready, but starts nothing, as its host is to go down (${status.shutdown?.requestedBy} said so)`;
    return warning(detail, 'If the host stays up: novactl node shutdown-vms --abort');
  }
  if (bad.length === 0 && isCordoned) {
    const why = spec.cordonReason === '' ? '' : `: ${spec.cordonReason}`;
    const detail = `${name} is ready, but takes no new VMs, as it was cordoned${why}`;
    return warning(detail, 'When it shall take VMs again: novactl node uncordon');
  }
  if (bad.length > 0) return judgeBad(name, bad);
  const advised = (status?.conditions ?? []).filter(
    ({ type, status: holds }) =>
      ADVISORY[type] !== undefined && holds === ConditionStatus.CONDITION_STATUS_FALSE,
  );
  const [first] = advised;
  if (first !== undefined) {
    const what = advised.map(({ message }) => message).join('; ');
    return warning(`${name} is ready, but ${what}`, ADVISORY[first.type] ?? NO_HINT);
  }
  return judgeAccelerator(`${name} is ready`, status?.hypervisor);
}

/** The causes: being ready follows from the other conditions, and says again what they say. */
function judgeBad(name: string, bad: readonly Condition[]): Finding {
  const others = bad.filter(({ type }) => type !== 'Ready');
  const causes = others.length > 0 ? others : bad;
  const why = causes.map(({ type, message }) => `${message || 'no message'} (${type})`);
  const isHeldUp = bad.some(({ reason }) => reason === 'VmsNotIdentified');
  const [cause] = causes;
  const what = `${name} is ${others.length < bad.length ? 'not ready' : 'not well'}`;
  const verb = causes.length === 1 ? 'does' : 'do';
  const hint = isHeldUp ? ACCEPT_HINT : (HINTS[cause?.type ?? ''] ?? NO_HINT);
  return {
    ...failure(`${what}: ${why.join('; ')}`, hint),
    follows: {
      from: causes.flatMap(({ type }) => CAUSES[type] ?? []),
      detail: `${what}: ${causes.map(({ type }) => type).join(' and ')} ${verb} not hold`,
    },
  };
}

/** The agent knows better than /dev/kvm, which may open and still run no guest. */
function judgeAccelerator(
  detail: string,
  hypervisor: NonNullable<Node['status']>['hypervisor'],
): Finding {
  if (hypervisor?.accelerator !== 'tcg') return ok(detail);
  const isOld = Number(hypervisor.qemuVersion.split('.')[0]) < 9;
  const loss = '; QEMU before 9.0 can lose memory of a busy guest that migrates without KVM';
  return warning(
    `${detail}, but VMs run without KVM and are slow${isOld ? loss : ''}`,
    isOld ? 'Give the machine KVM, or install QEMU 9.0 or newer' : 'Give the machine KVM',
  );
}

/** Makes a handshake with every peer of the configuration, as the agent does, with the agent's certificate. */
export async function checkPeers(
  { peers, nodeName }: AgentSettings,
  open: (address: string, nodeName: string) => Promise<AgentClient>,
  signal: AbortSignal,
): Promise<Finding> {
  const others = Object.entries(peers).filter(([name]) => name !== nodeName);
  if (others.length === 0) return skipped('The configuration names no peers');
  const problems = await Promise.all(
    others.map(async ([name, address]) => {
      try {
        using client = await open(address, name);
        const versions = { protocolMin: 1, protocolMax: 1, agentVersion: 'novactl doctor' };
        await client.peer.handshake(versions, { signal, deadlineMs: 3_000 });
        return undefined;
      } catch (error) {
        signal.throwIfAborted();
        return `${name}: ${error instanceof Error ? error.message : String(error)}`;
      }
    }),
  );
  const bad = problems.filter((problem) => problem !== undefined);
  if (bad.length === 0) return ok(`All ${others.length} peers answer`);
  const names = bad.some((problem) => problem.endsWith(UNKNOWN_NAME))
    ? 'Write IP addresses under peers, or have the names resolved (getent hosts NAME tells). '
    : '';
  return warning(
    bad.join('; '),
    names +
      "Check that those agents run, that their port is open from here, and that both nodes' certificates are of one CA",
  );
}

function ended({ at, problem }: AgentEnd): Finding {
  return failure(
    `The agent ended at ${at}, as it could not go on: ${problem}`,
    'Do what is said there, then: systemctl restart novacron-agent',
  );
}

function unreachable(error: unknown): Finding {
  if (!(error instanceof AgentError)) throw error;
  // That doctor should be run, whoever reads this has done.
  const hint = hintFor(error)?.replace(/\. Then: novactl doctor$/, '');
  return failure(error.message, hint ?? NO_HINT);
}
