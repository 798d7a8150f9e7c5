import type {
  AddressReport,
  AddressSource,
  GuestCommand,
  GuestCommandEnd,
  GuestFactGroup,
  GuestFacts,
  GuestOnline,
  GuestPassword,
  GuestProblem,
  HypervisorGuestAgent,
} from '../hypervisor-guest-agent.ts';
import type { DriverCalls } from './driver-calls.ts';
import { type OperationFailure, toAgentError } from './errors.ts';
import { ANSWER_S, FREEZE_S, SYNC_S } from './guest-operations.ts';
import { ADDRESSES_BY_HOST, findGuestRefusal } from './guest-refusals.ts';
import { GuestTurns } from './guest-turns.ts';
import type { OperationArguments, OperationName, OperationResult } from './operations.ts';

type GuestOperation = Extract<OperationName, `${string}Guest${string}`>;

/** For what is no guest's fault: opening a connection, a slow host. */
const MARGIN_S = 10;
const MS_PER_S = 1_000;
const QUESTIONS_WITH_MEMORY = 3;
/** What has been begun is waited for, whoever has given up: the next question would only wait for it in libvirt. */
const NEVER = new AbortController().signal;

/** Guests' agents, as libvirt reaches them. */
export class LibvirtGuestAgent implements HypervisorGuestAgent {
  readonly #calls: DriverCalls;
  readonly #turns = new GuestTurns();

  constructor(calls: DriverCalls) {
    this.#calls = calls;
  }

  async readFacts(
    uid: string,
    groups: readonly GuestFactGroup[],
    signal: AbortSignal,
  ): Promise<GuestFacts> {
    const verb = 'read what the guest says of itself from';
    const answerS = groups.length * ANSWER_S;
    const findings = await this.#ask('readGuestFacts', uid, [uid, groups], verb, answerS, signal);
    const facts = Object.entries(findings).map(([group, finding]) => {
      const failure = this.#problemOf(finding, { operation: 'readGuestFacts', uid, verb });
      return [group, failure === undefined ? finding : { value: undefined, problem: failure }];
    });
    return Object.fromEntries(facts) as GuestFacts;
  }

  readOnline(
    uid: string,
    { asksMemory }: { readonly asksMemory: boolean },
    signal: AbortSignal,
  ): Promise<GuestOnline> {
    const verb = 'find out what is online in the guest of';
    const answerS = ANSWER_S * (asksMemory ? QUESTIONS_WITH_MEMORY : 1);
    return this.#ask('readGuestOnline', uid, [uid, asksMemory], verb, answerS, signal);
  }

  async listAddresses(
    uid: string,
    sources: readonly AddressSource[],
    signal: AbortSignal,
  ): Promise<readonly AddressReport[]> {
    const verb = 'read the addresses of';
    const answerS = sources.length * ANSWER_S;
    const values = [uid, sources] as const;
    const ask = sources.includes('agent')
      ? this.#ask('readGuestAddresses', uid, [...values], verb, answerS, signal)
      : this.#askHost('readGuestAddresses', uid, [...values], verb, signal);
    return (await ask).map(({ source, found }) => {
      // What only the host was asked for, no guest has refused.
      const operation = source === 'agent' ? 'readGuestAddresses' : ADDRESSES_BY_HOST;
      const problem = this.#problemOf(found, { operation, uid, verb });
      return { source, value: 'failure' in found ? undefined : found, problem };
    });
  }

  freeze(uid: string, signal: AbortSignal): Promise<number> {
    return this.#ask('freezeGuest', uid, [uid], 'freeze the file systems of', FREEZE_S, signal);
  }

  thaw(uid: string, signal: AbortSignal): Promise<number> {
    return this.#ask('thawGuest', uid, [uid], 'thaw the file systems of', FREEZE_S, signal);
  }

  isFrozen(uid: string, signal: AbortSignal): Promise<boolean> {
    const verb = 'find out whether file systems are frozen of';
    return this.#ask('isGuestFrozen', uid, [uid], verb, ANSWER_S, signal);
  }

  async setPassword(uid: string, password: GuestPassword, signal: AbortSignal): Promise<void> {
    const verb = 'set a password in the guest of';
    await this.#ask('setGuestPassword', uid, [uid, password], verb, ANSWER_S, signal);
  }

  async syncTime(uid: string, signal: AbortSignal): Promise<void> {
    await this.#ask('syncGuestTime', uid, [uid], 'set the clock of the guest of', ANSWER_S, signal);
  }

  startCommand(uid: string, command: GuestCommand, signal: AbortSignal): Promise<number> {
    const verb = 'run a program in the guest of';
    return this.#ask('startGuestCommand', uid, [uid, command], verb, ANSWER_S, signal);
  }

  findCommandEnd(
    uid: string,
    pid: number,
    signal: AbortSignal,
  ): Promise<GuestCommandEnd | undefined> {
    const verb = 'find out what has become of a program in the guest of';
    return this.#ask('findGuestCommandEnd', uid, [uid, pid], verb, ANSWER_S, signal);
  }

  #ask<Name extends GuestOperation>(
    operation: Name,
    uid: string,
    values: OperationArguments<Name>,
    verb: string,
    answerS: number,
    signal: AbortSignal,
  ): Promise<OperationResult<Name>> {
    const timeoutMs = (SYNC_S + answerS + MARGIN_S) * MS_PER_S;
    const ask = () => this.#calls.callGuest(operation, uid, values, { verb, timeoutMs }, NEVER);
    return this.#turns.take(uid, this.#calls.nameOf(uid), ask, signal);
  }

  /** Waits for no guest. */
  #askHost<Name extends GuestOperation>(
    operation: Name,
    uid: string,
    values: OperationArguments<Name>,
    verb: string,
    signal: AbortSignal,
  ): Promise<OperationResult<Name>> {
    return this.#calls.call(operation, uid, values, verb, signal);
  }

  /** Whom the caller has asked about, it knows. */
  #problemOf(finding: object | undefined, call: AskedOf): GuestProblem | undefined {
    if (finding === undefined || !('failure' in finding)) return undefined;
    const failure = finding.failure as OperationFailure;
    const ofGuest =
      failure.kind === 'libvirt' ? findGuestRefusal(failure, call.operation) : undefined;
    if (ofGuest !== undefined) {
      const { reason, message } = ofGuest;
      return { reason, message: message.charAt(0).toUpperCase() + message.slice(1) };
    }
    const action = `${call.verb} ${this.#calls.nameOf(call.uid)}`;
    const { operation } = call;
    const { reason, message } = toAgentError(failure, { operation, action, metadata: {} });
    return { reason, message };
  }
}

interface AskedOf {
  readonly operation: string;
  readonly uid: string;
  readonly verb: string;
}
