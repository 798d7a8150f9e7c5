import { formatCpuList } from '../../../core/cpu-list.ts';
import { machineToStart } from '../../../core/ejected-media.ts';
import { AgentError } from '../../../core/errors.ts';
import { goneOf, type Present } from '../../../core/live-spec.ts';
import type { Machine } from '../../../core/resources/machine.ts';
import type { Volume } from '../../../core/resources/volume.ts';
import type { VmDefinition } from '../../../core/vm-definition.ts';
import type {
  DriftedPart,
  HypervisorDisk,
  HypervisorInterface,
  VmFacts,
} from '../../hypervisor-domains.ts';
import { isAdopted, metadataElements } from './adoption.ts';
import {
  acceleratorOf,
  type ChangeOptions,
  type DomainPart,
  type DomainXmlOptions,
} from './domain-part.ts';
import { DOMAIN_PARTS } from './domain-parts.ts';
import {
  changeFacts,
  changeLetGo,
  changeMetadata,
  changeRunningSince,
  changeSharedCpus,
  metadataArgument,
  metadataNode,
  readLetGo,
  readMetadata,
  readRunningSince,
  readSharedCpus,
} from './metadata.ts';
import { type DomainBoot, readBoot, readMachineType } from './parts/boot-part.ts';
import { type DomainCpu, liveCpuOf, readCpu } from './parts/cpu-part.ts';
import { changePlacement, type Placement, readPinnedCpus } from './parts/cpu-pins.ts';
import { readBoundDevices, readDisks, readMirrors } from './parts/disk-images.ts';
import { readInterfaces } from './parts/interfaces-part.ts';
import {
  hasOddRam,
  type LossCause,
  readHugepages,
  readLossyMemory,
  readMemoryBytes,
} from './parts/memory-part.ts';
import { GUEST_AGENT_CHANNEL } from './parts/read-usual.ts';
import { readSeedPath } from './parts/seed-part.ts';
import { changeMedium, type DomainVolume, findDrive, readVolumes } from './parts/volumes-part.ts';
import { adoptionFor, type MachineReading, readMachine } from './read-machine.ts';
import { XmlEditor } from './xml-editor.ts';
import { element, type XmlNode } from './xml-node.ts';
import { parseXml, type XmlElement } from './xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from './xml-query.ts';

/** A domain's XML as libvirt gave it. Immutable; a change gives a new document with all else byte for byte. */
export class DomainDocument {
  readonly #source: string;
  readonly #root: XmlElement;

  private constructor(source: string, root: XmlElement) {
    this.#source = source;
    this.#root = root;
  }

  /** Fails with HYPERVISOR_FAILURE if it is no XML that libvirt would print. */
  static parse(xml: string): DomainDocument {
    return new DomainDocument(xml, parseXml(xml));
  }

  toString(): string {
    return this.#source;
  }

  get uuid(): string {
    return textOf(findElement(this.#root, 'uuid'))?.trim().toLowerCase() ?? '';
  }

  get name(): string {
    return textOf(findElement(this.#root, 'name')) ?? '';
  }

  get machineType(): string {
    return readMachineType(this.#root);
  }

  get cpu(): DomainCpu {
    return readCpu(this.#root);
  }

  get liveCpu(): string | undefined {
    return liveCpuOf(this.#source, this.#root);
  }

  get memoryBytes(): number {
    return readMemoryBytes(this.#root);
  }

  get hugepages(): '2Mi' | '1Gi' | undefined {
    return readHugepages(this.#root);
  }

  get boot(): DomainBoot {
    return readBoot(this.#root);
  }

  get volumes(): readonly DomainVolume[] {
    return readVolumes(this.#root);
  }

  get disks(): readonly HypervisorDisk[] {
    return readDisks(this.#root);
  }

  get interfaces(): readonly HypervisorInterface[] {
    return readInterfaces(this.#root);
  }

  /** Which of the volumes and networks of a VM it has now. */
  get present(): Present {
    const volumes = this.volumes.filter(({ isOurs }) => isOurs).map(({ name }) => name);
    const networks = this.interfaces.map(({ name }) => name);
    return { volumes, networks, letGo: goneOf(this.letGo, { volumes, networks }) };
  }

  /** What the guest of this live definition was asked to let go of, as `volumes/data`, be it there or not, and wanted again or not. */
  get letGo(): readonly string[] {
    const [metadata] = this.#metadata();
    return metadata === undefined ? [] : readLetGo(metadata);
  }

  withLetGo(names: readonly string[]): DomainDocument {
    const [metadata] = this.#metadata();
    if (metadata === undefined) return this;
    const editor = new XmlEditor(this.#source);
    changeLetGo(editor, metadata, names);
    return DomainDocument.parse(editor.toString());
  }

  /** For what looks at single devices of it. */
  get text(): { readonly root: XmlElement; readonly source: string } {
    return { root: this.#root, source: this.#source };
  }

  /** Guest devices of disks that are being copied while they are in use. */
  get mirrors(): readonly string[] {
    return readMirrors(this.#root);
  }

  /** What is bound to this host, for people. */
  get boundDevices(): readonly string[] {
    return readBoundDevices(this.#root);
  }

  get accelerator(): 'kvm' | 'tcg' {
    return acceleratorOf(this.#root);
  }

  get lossyMemory(): LossCause | undefined {
    return readLossyMemory(this.#root);
  }

  get consoleLogPath(): string | undefined {
    const serial = childrenOf(findElement(this.#root, 'devices'), 'serial')[0];
    return attributeOf(findElement(serial, 'log'), 'file');
  }

  /** Whether a guest agent listens in the guest of this live definition; undefined if there is no channel for one. */
  get guestAgent(): 'connected' | 'disconnected' | undefined {
    const channels = childrenOf(findElement(this.#root, 'devices'), 'channel');
    const targets = channels.map((channel) => findElement(channel, 'target'));
    const target = targets.find((one) => attributeOf(one, 'name') === GUEST_AGENT_CHANNEL);
    if (target === undefined) return undefined;
    return attributeOf(target, 'state') === 'connected' ? 'connected' : 'disconnected';
  }

  /**
   * What the domain was made from; undefined if it is not ours or its metadata cannot be read. A copy made with
   * other tools carries the metadata of its original under another uuid: that is not our VM either.
   */
  get definition(): VmDefinition | undefined {
    const [metadata, ...others] = this.#metadata();
    if (metadata === undefined || others.length > 0) return undefined;
    const definition = readMetadata(metadata);
    return definition?.uid === this.uuid ? definition : undefined;
  }

  /** The text that holds the manifest, byte for byte; undefined if there is none. */
  get definitionText(): string | undefined {
    return textOf(this.#metadata()[0]);
  }

  /** Whether another holds the same manifest, and in the same version. */
  hasDefinitionOf(other: DomainDocument): boolean {
    const [own, theirs] = [this, other].map((one) => attributeOf(one.#metadata()[0], 'version'));
    return this.definitionText === other.definitionText && own === theirs;
  }

  /**
   * Carries another definition; attributes that this agent does not know stay. Fails with VM_SPEC_NEWER if either is one
   * of which it does not know all: what it does not know would be lost.
   */
  withDefinition(definition: VmDefinition): DomainDocument {
    if (definition.newer !== undefined || this.definition?.newer !== undefined) {
      const { namespace, name } = definition;
      throw new AgentError(
        'VM_SPEC_NEWER',
        `Cannot change VM ${namespace}/${name}: a newer agent has written what this one does not know; upgrade this node's agent`,
      );
    }
    const editor = new XmlEditor(this.#source);
    const [old, ...others] = this.#metadata();
    for (const other of others) editor.remove(other);
    if (old === undefined) this.#addMetadata(editor, metadataNode(definition));
    else changeMetadata(editor, old, definition);
    return DomainDocument.parse(editor.toString());
  }

  /** Carries the definition of another, of the same VM, as that has it byte for byte. */
  withDefinitionOf(other: DomainDocument): DomainDocument {
    const { definition, definitionText } = other;
    if (definition === undefined || definitionText === undefined) return this;
    const next = this.withDefinition(definition);
    const [metadata] = next.#metadata();
    if (metadata === undefined) return next;
    const editor = new XmlEditor(next.#source);
    editor.setText(metadata, definitionText);
    return DomainDocument.parse(editor.toString());
  }

  /** What it is in the words of a manifest, and what has no words there. */
  get reading(): MachineReading {
    return readMachine(this.#root);
  }

  /** Whether it is a guest of an architecture that manifests speak of. */
  get isOfPc(): boolean {
    const type = findElement(this.#root, 'os', 'type');
    return textOf(type) === 'hvm' && (attributeOf(type, 'arch') ?? 'x86_64') === 'x86_64';
  }

  /** What of it no manifest can say, if somebody else has made it and it was adopted; empty of any other. */
  get kept(): readonly string[] {
    return this.definition !== undefined && isAdopted(this.#root) ? this.reading.kept : [];
  }

  /** Names of the disks that one that was adopted has beside its volumes. */
  get keptDisks(): readonly string[] {
    if (this.definition === undefined || !isAdopted(this.#root)) return [];
    return this.volumes.filter(({ isOurs }) => !isOurs).map(({ target }) => target);
  }

  /** Carries a definition that was read of it, and says which of its devices that speaks of. All else stays byte for byte. */
  withAdoption(definition: VmDefinition): DomainDocument {
    const editor = new XmlEditor(this.#source);
    const [old, ...others] = this.#metadata();
    for (const other of others) editor.remove(other);
    const node = metadataNode(definition, adoptionFor(this.#root));
    if (old === undefined) this.#addMetadata(editor, node);
    else editor.replace(old, node);
    return DomainDocument.parse(editor.toString());
  }

  /** The drive of a volume with what that has as its source, as virDomainUpdateDeviceFlags takes it; undefined if there is none. */
  driveWith(volume: Pick<Volume, 'name' | 'source'>): string | undefined {
    const editor = new XmlEditor(this.#source);
    if (changeMedium(editor, this.#root, volume) === undefined) return undefined;
    const changed = DomainDocument.parse(editor.toString());
    const drive = findDrive(changed.#root, volume.name);
    return drive && changed.#source.slice(drive.start, drive.end);
  }

  /** The same drive with nothing in it. */
  emptyDrive(volumeName: string): string | undefined {
    return this.driveWith({ name: volumeName });
  }

  /** Whether it is that of a domain that is on: only such a one has a number. */
  get isLive(): boolean {
    return attributeOf(this.#root, 'id') !== undefined;
  }

  get pinnedCpus(): readonly number[] {
    return readPinnedCpus(this.#root);
  }

  /** Runs on other CPUs of its host, and says that an agent has said which. */
  withPlacement(placement: Placement): DomainDocument {
    const editor = new XmlEditor(this.#source);
    changePlacement(editor, this.#root, placement);
    const [metadata] = this.#metadata();
    if (metadata !== undefined) changeSharedCpus(editor, metadata, formatCpuList(placement.shared));
    return DomainDocument.parse(editor.toString());
  }

  /** Is no longer held to the CPUs that an agent has held it to. What somebody else has said since stays. */
  withoutPlacement(): DomainDocument {
    const [metadata] = this.#metadata();
    const shared = metadata && readSharedCpus(metadata);
    if (metadata === undefined || shared === undefined) return this;
    // A copy of one, which nobody has placed.
    if (this.definition === undefined) return this;
    const editor = new XmlEditor(this.#source);
    const vcpu = findElement(this.#root, 'vcpu');
    if (vcpu !== undefined && attributeOf(vcpu, 'cpuset') === shared) {
      editor.removeAttribute(vcpu, 'cpuset');
    }
    changeSharedCpus(editor, metadata, undefined);
    return DomainDocument.parse(editor.toString());
  }

  /** Carries the same definition with other facts. A domain that is not ours stays as it is. */
  withFacts(facts: Partial<VmFacts>): DomainDocument {
    const [metadata] = this.#metadata();
    if (metadata === undefined || this.definition === undefined) return this;
    const editor = new XmlEditor(this.#source);
    changeFacts(editor, metadata, facts);
    return DomainDocument.parse(editor.toString());
  }

  /**
   * Keeps the variables of UEFI in another file if libvirt has named theirs for the domain, as it did for those that earlier
   * versions have made. Only for a domain that comes with them: any other would start without.
   */
  withNvramPath(path: string): DomainDocument {
    const nvram = findElement(this.#root, 'os', 'nvram');
    if (nvram === undefined || this.definition === undefined) return this;
    const isNamedByLibvirt = this.#nvramPath.endsWith(`/${this.name}_VARS.fd`);
    // Wherever somebody else has them: the other node need not have that folder.
    const isElsewhere = isAdopted(this.#root) && attributeOf(nvram, 'type') === undefined;
    if (!isNamedByLibvirt && !isElsewhere) return this;
    const editor = new XmlEditor(this.#source);
    editor.setText(nvram, path);
    return DomainDocument.parse(editor.toString());
  }

  get #nvramPath(): string {
    return textOf(findElement(this.#root, 'os', 'nvram')) ?? '';
  }

  /** When the run of this live definition began, whichever node it began on, in milliseconds since 1970; undefined if nobody has noted it. */
  get runningSinceMs(): number | undefined {
    const [metadata] = this.#metadata();
    return metadata && readRunningSince(metadata);
  }

  /** Notes when the run of this live definition began; undefined takes that out, as what is started anew has another. */
  withRunningSince(ms: number | undefined): DomainDocument {
    const [metadata] = this.#metadata();
    if (metadata === undefined) return this;
    const editor = new XmlEditor(this.#source);
    changeRunningSince(editor, metadata, ms);
    return DomainDocument.parse(editor.toString());
  }

  /** The metadata with other facts, as virDomainSetMetadata takes it; undefined if the domain is not ours. */
  metadataWithFacts(facts: Partial<VmFacts>): string | undefined {
    const [metadata] = this.#metadata();
    if (metadata === undefined || this.definition === undefined) return undefined;
    return metadataArgument(this.#source.slice(metadata.start, metadata.end), facts);
  }

  /**
   * Makes the elements say what the machine wants; elements, attributes and comments that we do not know stay. A
   * machine type or CPU model that the machine leaves open stays too. Does not write the definition.
   */
  withMachine(machine: Machine, options: DomainXmlOptions): DomainDocument {
    const editor = new XmlEditor(this.#source);
    const before = this.definition?.spec.template.spec;
    const own = { ...options, vmUid: this.uuid, before };
    for (const part of DOMAIN_PARTS) part.change(editor, this.#root, machine, own);
    return DomainDocument.parse(editor.toString());
  }

  /** The parts of which the domain does not say what its own definition wants. Empty if that is not all understood. */
  get drift(): readonly DriftedPart[] {
    const { definition } = this;
    if (definition === undefined || definition.newer !== undefined) return [];
    const machine = machineToStart(definition);
    // Other QEMUs need another size: that is no change by somebody else.
    const options = {
      oddRamSize: hasOddRam(this.#root),
      nvramPath: this.#nvramPath,
      seedPath: readSeedPath(this.#root) ?? '',
      vmUid: this.uuid,
      before: machine,
    };
    return DOMAIN_PARTS.flatMap((part) =>
      part.drift !== undefined && this.#isChangedBy(part, machine, options) ? [part.drift] : [],
    );
  }

  #isChangedBy(part: DomainPart, machine: Machine, options: ChangeOptions): boolean {
    const editor = new XmlEditor(this.#source);
    try {
      part.change(editor, this.#root, machine, options);
    } catch (error) {
      // What this node cannot give is refused where it is asked for.
      if (error instanceof AgentError) return false;
      throw error;
    }
    return editor.toString() !== this.#source;
  }

  #addMetadata(editor: XmlEditor, node: XmlNode): void {
    const parent = findElement(this.#root, 'metadata');
    const sibling = findElement(this.#root, 'uuid') ?? findElement(this.#root, 'name');
    if (parent !== undefined) editor.append(parent, node);
    else if (sibling !== undefined) editor.insertAfter(sibling, element('metadata', {}, node));
    else editor.append(this.#root, element('metadata', {}, node));
  }

  #metadata(): readonly XmlElement[] {
    return metadataElements(this.#root);
  }
}
