import { isDeepStrictEqual } from 'node:util';
import type { BootSpec, VmSpec } from '../../../core/vm-spec.ts';
import { bootNodes, firmwareAttribute } from './boot-nodes.ts';
import {
  cpuModelParts,
  type DomainXmlOptions,
  memoryKib,
  topologyNode,
} from './build-domain-xml.ts';
import { changeDisks } from './change-disks.ts';
import {
  argumentNodes,
  findOddRamArguments,
  oddRamArguments,
  QEMU_NAMESPACE,
} from './odd-ram-size.ts';
import { type DomainSpec, readDomainSpec } from './read-domain-spec.ts';
import { XmlEditor } from './xml-editor.ts';
import { element } from './xml-node.ts';
import type { XmlElement } from './xml-parser.ts';
import {
  attributeOf,
  childrenInNamespace,
  childrenOf,
  findElement,
  prefixFor,
} from './xml-query.ts';

/**
 * Makes a domain's elements say what `spec` wants. Touches only what differs; what we do not know stays. A machine
 * type or CPU model that the spec leaves open stays as well, since the guest has it already.
 */
export function changeDomainSpec(
  source: string,
  domain: XmlElement,
  spec: VmSpec,
  options: DomainXmlOptions,
): string {
  const editor = new XmlEditor(source);
  const old = readDomainSpec(domain);
  changeCpus(editor, domain, old, spec);
  changeCpuModel(editor, domain, old, spec);
  changeMemory(editor, domain, old, spec, options);
  changeMachineType(editor, domain, old, spec);
  changeBoot(editor, domain, old, spec);
  changeDisks(editor, domain, spec.disks);
  return editor.toString();
}

function changeCpus(editor: XmlEditor, domain: XmlElement, old: DomainSpec, spec: VmSpec): void {
  const { vcpus } = spec.cpu;
  const vcpu = findElement(domain, 'vcpu');
  if (vcpu === undefined) {
    editor.append(domain, element('vcpu', { placement: 'static' }, String(vcpus)));
  } else {
    if (old.cpu.vcpus !== vcpus) editor.setText(vcpu, String(vcpus));
    editor.removeAttribute(vcpu, 'current');
  }
  if (old.cpu.vcpus === vcpus) return;
  for (const list of childrenOf(domain, 'vcpus')) editor.remove(list);
  const topology = findElement(domain, 'cpu', 'topology');
  if (topology !== undefined) editor.replace(topology, topologyNode(vcpus));
}

function changeCpuModel(
  editor: XmlEditor,
  domain: XmlElement,
  old: DomainSpec,
  spec: VmSpec,
): void {
  const wanted = spec.cpu.model;
  if (wanted === undefined || wanted === old.cpu.model) return;
  const accelerator = attributeOf(domain, 'type') === 'kvm' ? 'kvm' : 'tcg';
  const { attributes, model } = cpuModelParts(wanted, { accelerator });
  const cpu = findElement(domain, 'cpu');
  if (cpu === undefined) {
    editor.append(domain, element('cpu', attributes, model, topologyNode(spec.cpu.vcpus)));
    return;
  }
  // `check` was libvirt's answer for the old model; it gives a new one.
  for (const name of ['match', 'check', 'migratable']) {
    if (attributes[name] === undefined) editor.removeAttribute(cpu, name);
  }
  for (const [name, value] of Object.entries(attributes)) editor.setAttribute(cpu, name, value);
  const oldModel = findElement(cpu, 'model');
  if (oldModel !== undefined && model !== undefined) editor.replace(oldModel, model);
  else if (oldModel !== undefined) editor.remove(oldModel);
  else if (model !== undefined) editor.append(cpu, model);
}

function changeMemory(
  editor: XmlEditor,
  domain: XmlElement,
  old: DomainSpec,
  spec: VmSpec,
  options: DomainXmlOptions,
): void {
  const kib = memoryKib(spec);
  if (old.memory.sizeBytes !== spec.memory.sizeBytes) {
    for (const name of ['memory', 'currentMemory']) {
      const memory = findElement(domain, name);
      if (memory === undefined) {
        editor.append(domain, element(name, { unit: 'KiB' }, String(kib)));
      } else {
        editor.setAttribute(memory, 'unit', 'KiB');
        editor.setText(memory, String(kib));
      }
    }
  }
  const odd = options.oddRamSize && attributeOf(domain, 'type') !== 'kvm';
  changeOddRam(editor, domain, odd ? kib : undefined);
}

function changeOddRam(editor: XmlEditor, domain: XmlElement, memory: number | undefined): void {
  const commandline = childrenInNamespace(domain, QEMU_NAMESPACE, 'commandline')[0];
  const old = findOddRamArguments(childrenInNamespace(commandline, QEMU_NAMESPACE, 'arg'));
  const wanted = memory === undefined ? [] : oddRamArguments(memory);
  const present = old.map((arg) => attributeOf(arg, 'value'));
  if (isDeepStrictEqual(present, wanted)) return;
  for (const arg of old) editor.remove(arg);
  if (wanted.length === 0) return;
  const prefix = commandline?.name.split(':')[0] ?? prefixFor(domain, QEMU_NAMESPACE) ?? 'qemu';
  const nodes = argumentNodes(wanted, prefix);
  if (commandline !== undefined) {
    for (const node of nodes) editor.append(commandline, node);
    return;
  }
  if (prefixFor(domain, QEMU_NAMESPACE) === undefined) {
    editor.setAttribute(domain, `xmlns:${prefix}`, QEMU_NAMESPACE);
  }
  editor.append(domain, element(`${prefix}:commandline`, {}, ...nodes));
}

function changeMachineType(
  editor: XmlEditor,
  domain: XmlElement,
  old: DomainSpec,
  spec: VmSpec,
): void {
  const wanted = spec.machineType;
  if (wanted === undefined || isSameMachine(old.machineType, wanted)) return;
  const type = findElement(domain, 'os', 'type');
  if (type !== undefined) editor.setAttribute(type, 'machine', wanted);
}

/** libvirt replaces an alias such as `q35` by the versioned name when the domain is defined. */
function isSameMachine(present: string, wanted: string): boolean {
  if (wanted === 'q35') return /^(pc-)?q35(-|$)/.test(present);
  if (wanted === 'pc') return present === 'pc' || present.startsWith('pc-i440fx-');
  return present === wanted;
}

/** What another way of booting must not leave behind. */
const BOOT_ELEMENTS = ['kernel', 'initrd', 'cmdline', 'loader', 'nvram', 'firmware'];

function changeBoot(editor: XmlEditor, domain: XmlElement, old: DomainSpec, spec: VmSpec): void {
  const os = findElement(domain, 'os');
  if (os === undefined) return;
  if (spec.disks.some((disk) => disk.bootOrder !== undefined)) {
    // libvirt adds <boot dev='hd'/> where no disk has an order, and refuses both together.
    for (const boot of childrenOf(os, 'boot')) editor.remove(boot);
  }
  if (isSameBoot(old.boot, spec.boot)) return;
  for (const child of childrenOf(os)) if (BOOT_ELEMENTS.includes(child.name)) editor.remove(child);
  const firmware = firmwareAttribute(spec.boot);
  if (firmware === undefined) editor.removeAttribute(os, 'firmware');
  else editor.setAttribute(os, 'firmware', firmware);
  for (const node of bootNodes(spec.boot)) editor.append(os, node);
}

function isSameBoot(one: BootSpec, other: BootSpec): boolean {
  if (one.kind === 'firmware') return other.kind === 'firmware' && one.firmware === other.firmware;
  return (
    other.kind === 'kernel' &&
    one.kernelPath === other.kernelPath &&
    one.initrdPath === other.initrdPath &&
    one.commandLine === other.commandLine
  );
}
