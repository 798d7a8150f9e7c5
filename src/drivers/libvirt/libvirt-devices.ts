import { machineToStart } from '../../core/ejected-media.ts';
import { AgentError, hasReason } from '../../core/errors.ts';
import {
  changeKeyOf,
  goneOf,
  presentDefinition,
  runningDifferences,
  withLiveChanges,
} from '../../core/live-spec.ts';
import type { FieldDifference } from '../../core/resources/field-changes.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDevices, LiveChange } from '../hypervisor-devices.ts';
import type { HypervisorGuestAgent } from '../hypervisor-guest-agent.ts';
import type { DefinitionCache } from './definition-cache.ts';
import { DomainDocument } from './domain-xml/domain-document.ts';
import { effectOf } from './domain-xml/domain-parts.ts';
import { METADATA_NAMESPACE, METADATA_PREFIX } from './domain-xml/metadata-namespace.ts';
import type { DriverCalls } from './driver-calls.ts';
import { planInterface } from './live/live-interfaces.ts';
import {
  type GuestLack,
  planCpus,
  planMemory,
  questionOf,
  readLiveSizes,
  whatGuestLacks,
  whatIsOffline,
} from './live/live-sizes.ts';
import type { LiveCall, LivePair, LivePlanner } from './live/live-step.ts';
import { planVolume } from './live/live-volumes.ts';

const PLANNERS: readonly LivePlanner[] = [planVolume, planInterface, planCpus, planMemory];
/** libvirt waits 5 s for a guest that is to give CPUs back. */
const UNPLUG_TIMEOUT_MS = 20_000;
/** It waits as long until a guest has let go of a device. */
const SILENT_MS = 4_000;

/** A VM that runs, and what its next start takes. */
interface Run {
  readonly live: DomainDocument;
  readonly next: DomainDocument;
  /** What it runs with, as far as that is still there. */
  readonly running: VmDefinition;
  readonly wanted: VmDefinition;
  readonly pair: LivePair;
}

/** Changes domains of the host's libvirt while they run. */
export class LibvirtDevices implements HypervisorDevices {
  readonly #calls: DriverCalls;
  readonly #cache: DefinitionCache;
  readonly #guestAgent: Pick<HypervisorGuestAgent, 'readOnline'>;

  constructor(
    calls: DriverCalls,
    cache: DefinitionCache,
    guestAgent: Pick<HypervisorGuestAgent, 'readOnline'>,
  ) {
    this.#calls = calls;
    this.#cache = cache;
    this.#guestAgent = guestAgent;
  }

  async changeLive(uid: string, signal: AbortSignal): Promise<readonly LiveChange[]> {
    const before = await this.#read(uid, signal);
    if (before === undefined) return [];
    const problems = new Map<string, AgentError>();
    const changes = liveChangesOf(before);
    // What goes makes room for what comes, under its name on its bus.
    const [going, others] = [true, false].map((goes) =>
      changes.filter(({ after }) => (after === undefined) === goes),
    ) as [FieldDifference[], FieldDifference[]];
    await this.#make(uid, before, inTurn(going, before), problems, signal);
    const between = going.length === 0 ? before : await this.#read(uid, signal);
    if (between === undefined) return [];
    await this.#make(uid, between, others, problems, signal);
    const after = await this.#read(uid, signal);
    if (after === undefined) return [];
    const lacks = new Map<string, GuestLack | undefined>();
    for (const change of changes) {
      const isMade = planOf(change, after.pair).length === 0;
      const lack = isMade
        ? await this.#whatIsOffline(uid, change, after, signal)
        : whatGuestLacks(change, after.pair);
      if (!isMade || lack !== undefined) lacks.set(changeKeyOf(change), lack);
    }
    const isDone = (change: FieldDifference) => !lacks.has(changeKeyOf(change));
    await this.#note(uid, after, changes.filter(isDone), signal);
    return changes.map((change) => {
      const { field } = change;
      const key = changeKeyOf(change);
      const problem = problems.get(key);
      if (!lacks.has(key)) return { field, key, state: 'done' };
      if (problem !== undefined) return { field, key, state: 'failed', problem };
      return { field, key, state: 'asked', ...lacks.get(key) };
    });
  }

  async #make(
    uid: string,
    run: Run,
    changes: readonly FieldDifference[],
    problems: Map<string, AgentError>,
    signal: AbortSignal,
  ): Promise<void> {
    for (const change of changes) {
      const beganMs = performance.now();
      try {
        for (const call of planOf(change, run.pair)) {
          if (call.operation === 'detachDevice') await this.#noteAsked(uid, run, change, signal);
          await this.#perform(uid, call, signal);
        }
      } catch (error) {
        if (!(error instanceof AgentError) || !isOfChange(error)) throw error;
        problems.set(changeKeyOf(change), error);
      }
      // A guest that does not answer is asked one thing at a time: whoever asks keeps others from the VM meanwhile.
      if (change.after === undefined && performance.now() - beganMs > SILENT_MS) return;
    }
  }

  /** What a guest does not use that was given more; undefined where it uses all, or nobody can say. */
  async #whatIsOffline(
    uid: string,
    change: FieldDifference,
    { live, pair }: Run,
    signal: AbortSignal,
  ): Promise<GuestLack | undefined> {
    const question = questionOf(change, pair);
    if (question === undefined || live.guestAgent !== 'connected') return undefined;
    try {
      return whatIsOffline(await this.#guestAgent.readOnline(uid, question, signal), pair);
    } catch (error) {
      // One that is busy may say more when it is asked again.
      if (hasReason(error, 'GUEST_AGENT_TIMEOUT')) {
        return { lack: 'its guest agent has not said whether it uses that' };
      }
      // A guest agent that is of no use keeps nothing from being done.
      if (error instanceof AgentError && error.reason.startsWith('GUEST_')) return undefined;
      throw error;
    }
  }

  async resizeDisk(uid: string, path: string, bytes: number, signal: AbortSignal): Promise<void> {
    const { live } = await this.#calls.call('readXml', uid, [uid], 'read', signal);
    const document = DomainDocument.parse(live);
    const disk = document.volumes.find((volume) => volume.path === path);
    if (!document.isLive || disk === undefined) {
      throw new AgentError(
        'VM_NOT_RUNNING',
        `Cannot change the size of ${path} of ${this.#calls.nameOf(uid)}: it does not have that disk now`,
        { metadata: { vmId: uid } },
      );
    }
    const values = [uid, disk.target, BigInt(bytes)] as const;
    const verb = `change the size of ${path} of`;
    await this.#calls.call('resizeDisk', uid, [...values], verb, signal);
  }

  /** Undefined for one that is off, or of which not all is understood. */
  async #read(uid: string, signal: AbortSignal): Promise<Run | undefined> {
    const xml = await this.#calls.call('readXml', uid, [uid], 'read', signal);
    if (xml.persistent === undefined) return undefined;
    const live = DomainDocument.parse(xml.live);
    const next = DomainDocument.parse(xml.persistent);
    const { definition: started } = live;
    const { definition: wanted } = next;
    if (!live.isLive || started === undefined || wanted === undefined) return undefined;
    if (started.newer !== undefined || wanted.newer !== undefined) return undefined;
    const running = presentDefinition(started, wanted, live.present);
    const pair = { live: live.text, next: next.text, wanted: machineToStart(wanted) };
    return { live, next, running, wanted, pair };
  }

  async #perform(uid: string, call: LiveCall, signal: AbortSignal): Promise<void> {
    const calls = this.#calls;
    switch (call.operation) {
      case 'attachDevice':
        return calls.call('attachDevice', uid, [uid, ...call.values], 'plug a device into', signal);
      case 'detachDevice':
        return calls.call('detachDevice', uid, [uid, ...call.values], 'unplug a device of', signal);
      case 'setVcpus': {
        const how = { verb: 'change how many CPUs are given to', timeoutMs: UNPLUG_TIMEOUT_MS };
        await calls.callGuest('setVcpus', uid, [uid, ...call.values], how, signal);
        return;
      }
      case 'setBalloon': {
        const verb = 'change how much memory is given to';
        return calls.call('setBalloon', uid, [uid, ...call.values], verb, signal);
      }
      case 'wait':
        return;
      default:
        return calls.call('updateDevice', uid, [uid, ...call.values], 'change a device of', signal);
    }
  }

  /** Before it is asked: should the device be wanted again by the time that it is gone, it is to come back. */
  async #noteAsked(
    uid: string,
    { live }: Run,
    change: FieldDifference,
    signal: AbortSignal,
  ): Promise<void> {
    const name = changeKeyOf(change);
    if (live.letGo.includes(name)) return;
    const { live: now } = await this.#calls.call('readXml', uid, [uid], 'read', signal);
    const document = DomainDocument.parse(now);
    await this.#setLive(uid, document.withLetGo([...document.letGo, name]), signal);
  }

  /** What has been done is part of what runs. */
  async #note(
    uid: string,
    { live, next, running, wanted }: Run,
    done: readonly FieldDifference[],
    signal: AbortSignal,
  ): Promise<void> {
    const now = withLiveChanges(running, wanted, done);
    const noted = now === wanted ? live.withDefinitionOf(next) : live.withDefinition(now);
    const plugged = done.filter(({ after }) => after !== undefined).map(changeKeyOf);
    const gone = goneOf(live.letGo, live.present);
    const letGo = live.letGo.filter((name) => !gone.includes(name) && !plugged.includes(name));
    const whole = noted.withLetGo(letGo);
    if (whole.metadataWithFacts({}) !== live.metadataWithFacts({})) {
      await this.#setLive(uid, whole, signal);
    }
    this.#cache.invalidate(uid);
  }

  async #setLive(uid: string, document: DomainDocument, signal: AbortSignal): Promise<void> {
    const values = {
      live: document.metadataWithFacts({}),
      persistent: undefined,
      prefix: METADATA_PREFIX,
      namespace: METADATA_NAMESPACE,
    };
    await this.#calls.call('setMetadata', uid, [uid, values], 'change what is kept with', signal);
  }
}

/** Those first of which the guest was not asked yet: one that it keeps is in no other's way. */
function inTurn(changes: readonly FieldDifference[], { live }: Run): readonly FieldDifference[] {
  const wasAsked = (change: FieldDifference) => live.letGo.includes(changeKeyOf(change));
  return changes.toSorted((a, b) => Number(wasAsked(a)) - Number(wasAsked(b)));
}

function liveChangesOf({ live, running, wanted }: Run): readonly FieldDifference[] {
  const sizes = readLiveSizes(live.text.root);
  return runningDifferences(running, wanted, live.present).filter(
    (change) => effectOf(change.field, change, sizes) === 'live',
  );
}

function planOf(change: FieldDifference, pair: LivePair): readonly LiveCall[] {
  for (const planner of PLANNERS) {
    const calls = planner(change, pair);
    if (calls !== undefined) return calls;
  }
  return [];
}

/** Whether it says something of the change rather than of the VM or of libvirt. */
function isOfChange({ reason }: AgentError): boolean {
  return !['HYPERVISOR_UNREACHABLE', 'VM_NOT_FOUND', 'VM_BUSY'].includes(reason);
}
