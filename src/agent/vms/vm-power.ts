import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import type { Logger } from '../../core/logger.ts';
import { runStrategyOf } from '../../core/resources/run-strategy.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import type { HypervisorDomains } from '../../drivers/hypervisor-domains.ts';
import type { CapacityLedger } from '../node/capacity-ledger.ts';
import { wantedAct } from '../runs/run-strategies.ts';
import type { ShutdownMark } from '../shutdown/shutdown-mark.ts';
import { lockNow } from './busy.ts';
import { nameOfRef, naming } from './deed-words.ts';
import type { DefinitionValidator } from './definition-validator.ts';
import { findVm } from './find-vm.ts';
import type { Ownership } from './ownership.ts';
import { assertWhole, intend } from './power-steps.ts';
import type { Startability } from './startability.ts';
import { assertRead } from './unread-vms.ts';
import type { Vm, VmRef } from './vm.ts';
import type { VmDiskKeys } from './vm-disk-keys.ts';
import type { VmInventory } from './vm-inventory.ts';
import { assertNotHeld, assertNotPaused, assertOn } from './vm-pauses.ts';
import { isOff } from './vm-phase.ts';
import type { VmSeeds } from './vm-seeds.ts';
import type { Whereabouts } from './whereabouts.ts';

export interface VmPowerOptions {
  readonly domains: HypervisorDomains;
  readonly inventory: VmInventory;
  readonly capacity: CapacityLedger;
  readonly ownership: Ownership;
  readonly whereabouts: Whereabouts;
  /** One operation per VM, shared with migrations; the key is the VM's uid. */
  readonly locks: KeyLocks;
  readonly nodeShutdown: Pick<ShutdownMark, 'assertNotGoingDown'>;
  readonly validator: Pick<DefinitionValidator, 'assertStartable'>;
  readonly startability: Pick<Startability, 'noting'>;
  readonly seeds: Pick<VmSeeds, 'ensure' | 'assertPossible'>;
  readonly diskKeys: Pick<VmDiskKeys, 'ensure' | 'assertPossible'>;
  readonly log: Logger;
}

/** What is asked of a VM's power, in words. */
const WORDS = {
  start: 'start',
  shutdown: 'shut down',
  destroy: 'cut the power of',
  suspend: 'suspend',
  resume: 'resume',
  reset: 'reset',
  reboot: 'reboot',
  restart: 'restart',
} as const;

export type PowerVerb = keyof typeof WORDS;

/** What a VM cannot do that is paused. */
const OF_THE_AWAKE: readonly PowerVerb[] = ['start', 'shutdown', 'reboot', 'restart'];
/** What a VM cannot do that is off. */
const OF_THOSE_ON: readonly PowerVerb[] = ['suspend', 'resume', 'reset', 'reboot'];

/** Switches VMs of this node on and off, and holds them still. Each verb reports the VM as it is afterwards. */
export class VmPower {
  readonly #options: VmPowerOptions;

  constructor(options: VmPowerOptions) {
    this.#options = options;
  }

  /** Says which VM is meant, and fails if it can be told at once that something cannot be done to it. Changes nothing. */
  assertCan(
    verb: PowerVerb,
    ref: VmRef,
    signal: AbortSignal,
    options: { readonly isForced?: boolean } = {},
  ): Promise<Vm> {
    const asserting = this.#assertCan(verb, ref, signal, options);
    return naming(`${WORDS[verb]} ${nameOfRef(ref)}`, asserting);
  }

  async #assertCan(
    verb: PowerVerb,
    ref: VmRef,
    signal: AbortSignal,
    { isForced = false }: { readonly isForced?: boolean },
  ): Promise<Vm> {
    const { domains, inventory, capacity, ownership, validator } = this.#options;
    const { startability, seeds, diskKeys } = this.#options;
    await inventory.refresh(signal);
    const vm = findVm(ref, this.#options);
    assertRead(vm);
    const { definition } = vm;
    if (verb === 'start' || verb === 'restart') {
      this.#assertMayStart(definition);
      if (isOff(vm)) {
        ownership.assertConfirmed(definition);
        const looking = validator.assertStartable(definition, vm.drift, signal);
        await startability.noting(definition.uid, looking);
        await seeds.assertPossible(definition, signal);
        await diskKeys.assertPossible(definition, signal);
        capacity.setAside(definition, { reservationId: undefined, isOn: true })[Symbol.dispose]();
      }
    }
    if (verb === 'restart' && !isOff(vm)) {
      // What holds it may be its last copy's way to another node: that must not begin anew here.
      assertNotHeld(vm, verb);
      // Once it is off it is too late to find out.
      ownership.assertConfirmed(definition);
      await validator.assertStartable(definition, vm.drift, signal);
      await seeds.assertPossible(definition, signal);
      await diskKeys.assertPossible(definition, signal);
    }
    if (verb === 'destroy' || (verb === 'restart' && isForced)) {
      await assertWhole(domains, definition, signal);
    }
    if (OF_THE_AWAKE.includes(verb) && !isForced) assertNotPaused(vm, WORDS[verb]);
    if (OF_THOSE_ON.includes(verb)) this.#assertMayPause(vm, verb);
    return vm;
  }

  /**
   * `isByItself`: nobody has asked for it but the VM's run strategy, so who asks for something else is not refused for that; and what
   * callers have asked for meanwhile counts.
   */
  start(
    ref: VmRef,
    signal: AbortSignal,
    holding: { readonly isByItself: boolean } = { isByItself: false },
  ): Promise<Vm> {
    const starting = async (vm: Vm): Promise<void> => {
      if (holding.isByItself && wantedAct(vm) !== 'start') return;
      const { domains, inventory, capacity, validator } = this.#options;
      const { definition } = vm;
      this.#assertMayStart(definition);
      const { ownership, startability, seeds, diskKeys } = this.#options;
      assertNotPaused(vm, 'start');
      if (isOff(vm)) {
        ownership.assertConfirmed(definition);
        const looking = validator.assertStartable(definition, vm.drift, signal);
        await startability.noting(definition.uid, looking);
        await startability.noting(definition.uid, seeds.ensure(definition, signal));
        await startability.noting(definition.uid, diskKeys.ensure(definition, signal));
      }
      using _amount = isOff(vm)
        ? capacity.setAside(definition, { reservationId: undefined, isOn: true })
        : undefined;
      // Looking at files may have taken long.
      this.#assertMayStart(definition);
      await intend(domains, definition, 'on', signal);
      await startability.noting(definition.uid, domains.start(definition.uid, signal));
      // The memory stays set aside until the inventory knows that the VM runs.
      await inventory.refresh(signal);
    };
    return this.#change(ref, 'start', signal, starting, holding);
  }

  /** Asks the guest to power off, and does not wait for it. */
  shutdown(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'shutdown', signal, async (vm) => {
      const { domains } = this.#options;
      assertNotPaused(vm, WORDS.shutdown);
      await intend(domains, vm.definition, 'off', signal);
      if (!isOff(vm)) await domains.shutdown(vm.definition.uid, signal);
    });
  }

  destroy(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'destroy', signal, async ({ definition }) => {
      const { domains } = this.#options;
      await assertWhole(domains, definition, signal);
      await intend(domains, definition, 'off', signal);
      await domains.destroy(definition.uid, signal);
    });
  }

  /** Has a VM go off that is started again then, which is what it keeps as wanted: asks its guest, or cuts its power. */
  stopToRestart(ref: VmRef, how: 'ask' | 'cut', signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'restart', signal, async (vm) => {
      const { domains, ownership } = this.#options;
      const { definition } = vm;
      if (!isOff(vm)) {
        assertNotHeld(vm, 'restart');
        ownership.assertConfirmed(definition);
      }
      if (how === 'ask') assertNotPaused(vm, 'restart');
      else await assertWhole(domains, definition, signal);
      await intend(domains, definition, 'on', signal);
      if (how === 'cut') await domains.destroy(definition.uid, signal);
      else if (!isOff(vm)) await domains.shutdown(definition.uid, signal);
    });
  }

  suspend(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'suspend', signal, async (vm) => {
      this.#assertMayPause(vm, 'suspend');
      if (vm.phase !== 'paused') await this.#options.domains.suspend(vm.definition.uid, signal);
    });
  }

  /** Lets a VM go on that is paused. What is wanted of its power stays. */
  resume(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'resume', signal, async (vm) => {
      this.#assertMayPause(vm, 'resume');
      await this.#options.domains.resume(vm.definition.uid, signal);
    });
  }

  reset(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'reset', signal, async (vm) => {
      const { domains } = this.#options;
      this.#assertMayPause(vm, 'reset');
      await intend(domains, vm.definition, 'on', signal);
      await domains.reset(vm.definition.uid, signal);
    });
  }

  /** Asks the guest to reboot, and does not wait for it. */
  reboot(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    return this.#change(ref, 'reboot', signal, async (vm) => {
      const { domains } = this.#options;
      assertNotPaused(vm, 'reboot');
      this.#assertMayPause(vm, 'reboot');
      await intend(domains, vm.definition, 'on', signal);
      await domains.reboot(vm.definition.uid, signal);
    });
  }

  /** Runs one change of a VM under its lock and reports the VM afterwards. */
  #change(
    ref: VmRef,
    purpose: PowerVerb,
    signal: AbortSignal,
    change: (vm: Vm) => Promise<void>,
    holding = { isByItself: false },
  ): Promise<Vm> {
    const changing = this.#changeLocked(ref, purpose, signal, change, holding);
    return naming(`${WORDS[purpose]} ${nameOfRef(ref)}`, changing);
  }

  async #changeLocked(
    ref: VmRef,
    purpose: string,
    signal: AbortSignal,
    change: (vm: Vm) => Promise<void>,
    { isByItself }: { readonly isByItself: boolean },
  ): Promise<Vm> {
    const { inventory, locks } = this.#options;
    let vm = await this.#look(ref, signal);
    const hasWaited = await locks.untilNotByItself(vm.definition.uid, signal);
    if (hasWaited) vm = await this.#look(ref, signal);
    using _lock = lockNow(locks, vm.definition, { verb: purpose, isByItself });
    await change(vm);
    this.#options.log.info({ vmId: vm.definition.uid, operation: purpose }, 'VM changed');
    await inventory.refresh(signal);
    return findVm(ref, this.#options);
  }

  async #look(ref: VmRef, signal: AbortSignal): Promise<Vm> {
    await this.#options.inventory.refresh(signal);
    const vm = findVm(ref, this.#options);
    assertRead(vm);
    return vm;
  }

  #assertMayStart(definition: VmDefinition): void {
    this.#options.nodeShutdown.assertNotGoingDown(`Cannot start VM ${definition.name}`);
    this.#options.ownership.assertOwned(definition);
    assertNotHalted(definition);
  }

  /** Of what only a VM can do that is on, that is here, and that nothing holds still. */
  #assertMayPause(vm: Vm, purpose: string): void {
    this.#options.ownership.assertOwned(vm.definition);
    assertOn(vm, purpose);
    assertNotHeld(vm, purpose);
  }
}

function assertNotHalted({ uid, name, spec }: VmDefinition): void {
  if (runStrategyOf(spec) !== 'Halted') return;
  throw new AgentError(
    'RUN_STRATEGY_HALTED',
    `Cannot start VM ${name}: its ${spec.running === false ? 'spec.running is false' : 'spec.runStrategy is Halted'}; apply its manifest with another run strategy, such as Manual`,
    { metadata: { vmId: uid } },
  );
}
