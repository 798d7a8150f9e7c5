import { AgentError } from '../../core/errors.ts';
import type { KeyLocks } from '../../core/key-locks.ts';
import { EVERYTHING } from '../../core/label-selector.ts';
import type { Logger } from '../../core/logger.ts';
import { isReadOnly, pathOf, type Volume } from '../../core/resources/volume.ts';
import type { VmDefinition } from '../../core/vm-definition.ts';
import {
  type AdoptableVm,
  type HypervisorDomains,
  type HypervisorVm,
  isOn,
} from '../../drivers/hypervisor-domains.ts';
import type { HypervisorHost } from '../../drivers/hypervisor-host.ts';
import type { CapacityLedger } from '../node/capacity-ledger.ts';
import type { Origins } from '../reports/report.ts';
import {
  adoptionNotes,
  assertAdoptable,
  assertNameFit,
  busy,
  cannotAdopt,
  findDomain,
  inOtherWords,
  noSuchDomain,
  readable,
  renamed,
  wantedOfAdoptable,
} from './adoptable.ts';
import type { DefinitionValidator } from './definition-validator.ts';
import { findImageUser } from './image-users.ts';
import { nameKey } from './name-key.ts';
import type { Ownership } from './ownership.ts';
import type { AdoptRequest, CreateResult, Vm, VmRef } from './vm.ts';
import { plannedVm } from './vm-describer.ts';
import type { VmInventory } from './vm-inventory.ts';
import type { VmLocator } from './vm-locator.ts';
import { commandNameOf } from './vm-words.ts';
import { newDefinition } from './wanted-definition.ts';

export interface VmAdopterOptions {
  readonly host: Pick<HypervisorHost, 'getInfo'>;
  readonly domains: Pick<HypervisorDomains, 'list' | 'find' | 'findAdoptable' | 'adopt'>;
  readonly inventory: Pick<
    VmInventory,
    'refresh' | 'findByUid' | 'findByName' | 'findComing' | 'assertAbsent' | 'list'
  >;
  readonly ownership: Pick<Ownership, 'epochOfNew' | 'assertOwned' | 'own'>;
  readonly capacity: Pick<CapacityLedger, 'findHolding'>;
  readonly validator: Pick<DefinitionValidator, 'validate'>;
  readonly locator: Pick<VmLocator, 'assertNowhere'>;
  readonly locks: KeyLocks;
  readonly origins: Origins;
  readonly log: Logger;
}

interface AdoptOptions {
  readonly dryRun: boolean;
  /** False if it was, or will be, asked elsewhere whether another node has the VM. Default true. */
  readonly asksNodes?: boolean;
}

/** Makes VMs that somebody else has made, as with virsh, VMs of this agent: as they are, and without a break in their run. */
export class VmAdopter {
  readonly #options: VmAdopterOptions;

  constructor(options: VmAdopterOptions) {
    this.#options = options;
  }

  /** Repeating it is refused with VM_ALREADY_EXISTS; see `resume`. */
  async adopt(
    { domain, vm: ref }: AdoptRequest,
    { dryRun, asksNodes = true }: AdoptOptions,
    signal: AbortSignal,
  ): Promise<CreateResult> {
    const { host, domains, inventory, locks, locator, origins } = this.#options;
    assertNameFit(domain, ref);
    await inventory.refresh(signal);
    const found = findDomain(await domains.list(signal), domain);
    if (found.definition !== undefined) throw this.#alreadyOurs(domain, found.definition);
    this.#assertNameFree(domain, ref, found.uid);
    const { hostUuid } = await host.getInfo(signal);
    await locks.untilNotByItself(found.uid, signal);
    using nameLock = locks.tryAcquire(nameKey(ref), 'adopt');
    using uidLock = locks.tryAcquire(found.uid, 'adopt');
    if (nameLock === undefined || uidLock === undefined) throw busy(domain);
    const adoptable = await this.#look(domain, found, signal);
    const wanted = wantedOfAdoptable(domain, { ...ref, uid: found.uid }, adoptable);
    const draft = newDefinition(wanted, hostUuid);
    const warnings = [
      ...adoptionNotes(adoptable),
      ...(await this.#validate(domain, draft, signal)),
      ...(asksNodes ? await renamed(domain, locator.assertNowhere(draft, signal)) : []),
    ];
    const definition: VmDefinition = {
      ...draft,
      ownershipEpoch: this.#epochOf(domain, draft),
      // Whatever its run strategy would make of one that is new.
      intent: isOn(found) ? 'on' : 'off',
    };
    const made = dryRun ? undefined : await this.#make(definition, signal);
    const planned = { ...plannedVm(definition, origins.current()), kept: adoptable.kept };
    return { vm: made ?? planned, warnings };
  }

  /** Goes on where an agent was killed in the middle of it; undefined if nothing has come of it yet. */
  async resume(
    ref: VmRef & { readonly uid: string },
    signal: AbortSignal,
  ): Promise<Vm | undefined> {
    const { domains, locks } = this.#options;
    const { uid } = ref;
    const found = await domains.find(uid, signal);
    const definition = found?.definition;
    if (definition === undefined || nameKey(definition) !== nameKey(ref)) return undefined;
    await locks.untilNotByItself(uid, signal);
    using lock = locks.tryAcquire(uid, 'adopt');
    if (lock === undefined) throw busy(ref.name);
    return await this.#make(definition, signal);
  }

  async #make(definition: VmDefinition, signal: AbortSignal): Promise<Vm | undefined> {
    const { domains, ownership, inventory, log } = this.#options;
    const { uid: vmId, namespace, name } = definition;
    signal.throwIfAborted();
    await domains.adopt(definition, signal);
    // Not before: what is recorded of it is what its definition says.
    await ownership.own(definition);
    log.info({ vmId, name: `${namespace}/${name}` }, 'VM adopted');
    await inventory.refresh(signal);
    return inventory.findByUid(vmId);
  }

  async #look(domain: string, found: HypervisorVm, signal: AbortSignal): Promise<AdoptableVm> {
    const adoptable = await readable(
      domain,
      this.#options.domains.findAdoptable(found.uid, signal),
    );
    if (adoptable === undefined) throw noSuchDomain(domain);
    assertAdoptable(domain, found, adoptable);
    return adoptable;
  }

  /** Its files must be where the VMs of this node may have theirs, and nobody else's. */
  async #validate(
    domain: string,
    { name, namespace, uid, spec }: VmDefinition,
    signal: AbortSignal,
  ): Promise<readonly string[]> {
    const wanted = { metadata: { name, namespace, uid }, spec };
    const notes = await renamed(
      domain,
      this.#options.validator.validate(wanted, { isStarted: true }, signal),
    );
    this.#assertNotShared(domain, uid, spec.template.spec.volumes ?? []);
    return notes;
  }

  /** No other VM of this node may write to what it reads, nor have what it may write to. */
  #assertNotShared(domain: string, vmUid: string, volumes: readonly Volume[]): void {
    const vms = this.#options.inventory.list({ namespace: '', labels: EVERYTHING });
    const others = vms.filter(({ definition }) => definition.uid !== vmUid);
    for (const volume of volumes) {
      const path = pathOf(volume);
      if (path === undefined) continue;
      const other = findImageUser(others, [{ path, isReadOnly: isReadOnly(volume) }])?.user;
      if (other === undefined) continue;
      throw cannotAdopt(
        'IMAGE_IN_USE',
        domain,
        `${path} (${volume.target ?? volume.name}) is a disk of VM ${nameKey(other.definition)} too; give one of the two another image`,
        vmUid,
      );
    }
  }

  #alreadyOurs(domain: string, definition: VmDefinition): AgentError {
    const { uid, owner } = definition;
    try {
      this.#options.ownership.assertOwned(definition);
    } catch (error) {
      if (!(error instanceof AgentError)) throw error;
      return cannotAdopt(
        'VM_NOT_OWNED',
        domain,
        `it is a copy of VM ${nameKey(definition)}, which another node's agent owns (host ${owner}); use the VM there. If that node has it no more, take the agent's word out of it first: virsh metadata ${uid} --uri https://novacron.io/xmlns/vm/1 --remove --config`,
        uid,
      );
    }
    return cannotAdopt(
      'VM_ALREADY_EXISTS',
      domain,
      `it is VM ${nameKey(definition)} of this node already; see it with novactl vm get ${commandNameOf(definition)}`,
      uid,
    );
  }

  #assertNameFree(domain: string, ref: VmRef, uid: string): void {
    const { inventory, capacity } = this.#options;
    const { namespace, name } = ref;
    const other =
      inventory.findByName(namespace, name) ?? inventory.findComing({ ...ref, uid: undefined });
    if (other !== undefined) {
      throw cannotAdopt(
        'VM_ALREADY_EXISTS',
        domain,
        `namespace ${namespace} has a VM ${name}; give this one another name with --name`,
        other.definition.uid,
      );
    }
    inventory.assertAbsent({ ...ref, uid });
    if (capacity.findHolding(namespace, name) !== undefined) throw busy(domain);
  }

  #epochOf(domain: string, draft: VmDefinition): number {
    try {
      return this.#options.ownership.epochOfNew(draft);
    } catch (error) {
      throw inOtherWords(domain, error);
    }
  }
}
