import type { Machine } from '../../../../core/resources/machine.ts';
import { maxVcpusOf, vcpusOf } from '../../../../core/resources/machine-amounts.ts';
import { isAdopted } from '../adoption.ts';
import { acceleratorOf } from '../domain-part.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement, textOf } from '../xml-query.ts';

/** The most CPUs that the domain can have. */
export function readMaxVcpus(domain: XmlElement): number {
  return Number(textOf(findElement(domain, 'vcpu')) ?? 1);
}

/** How many of its CPUs the domain has now, or begins with. */
export function readCurrentVcpus(domain: XmlElement): number {
  const current = attributeOf(findElement(domain, 'vcpu'), 'current');
  return current === undefined ? readMaxVcpus(domain) : Number(current);
}

function isPlugged(cpu: XmlElement): boolean {
  return attributeOf(cpu, 'enabled') === 'yes' && attributeOf(cpu, 'hotpluggable') === 'yes';
}

/** How few CPUs it can have while it runs: libvirt takes those away alone that were plugged in, or made as if. */
export function readLeastVcpus(domain: XmlElement): number {
  const current = readCurrentVcpus(domain);
  // QEMU without KVM takes a CPU away and does not say so, so libvirt goes on counting it, and the domain would not migrate any more.
  if (acceleratorOf(domain) === 'tcg') return current;
  const list = childrenOf(findElement(domain, 'vcpus'), 'vcpu');
  return current - list.filter(isPlugged).length;
}

/** What stands with the CPUs that it may have, of a machine that says how many those are. */
export function currentOf(machine: Machine): { readonly current?: string } {
  return machine.cpu?.max === undefined ? {} : { current: String(vcpusOf(machine)) };
}

/** Without it those that it begins with could not be taken away from it again. */
export function vcpusNode(machine: Machine): XmlNode | undefined {
  if (machine.cpu?.max === undefined) return undefined;
  const count = vcpusOf(machine);
  const cpus = Array.from({ length: maxVcpusOf(machine) }, (_, id) =>
    element('vcpu', {
      id: String(id),
      enabled: id < count ? 'yes' : 'no',
      // libvirt: the first stays.
      hotpluggable: id === 0 ? 'no' : 'yes',
      order: id < count ? String(id + 1) : undefined,
    }),
  );
  return element('vcpus', {}, ...cpus);
}

export function changeCount(editor: XmlEditor, domain: XmlElement, machine: Machine): void {
  const vcpu = findElement(domain, 'vcpu');
  const wanted = vcpusNode(machine);
  const max = maxVcpusOf(machine);
  const { current } = currentOf(machine);
  if (vcpu === undefined) {
    editor.append(domain, element('vcpu', { placement: 'static', current }, String(max)));
    if (wanted !== undefined) editor.append(domain, wanted);
    return;
  }
  const present = readMaxVcpus(domain);
  const isOpen = isAdopted(domain) && machine.cpu?.max === undefined;
  // What somebody else has made may begin with fewer.
  const isSame = present === max && (isOpen || readCurrentVcpus(domain) === vcpusOf(machine));
  const [list] = childrenOf(domain, 'vcpus');
  const hasList = (list === undefined) === (wanted === undefined);
  // Which of them it has somebody else may have chosen.
  if (isSame && (hasList || isAdopted(domain))) return;
  if (present !== max) editor.setText(vcpu, String(max));
  if (current === undefined) editor.removeAttribute(vcpu, 'current');
  else editor.setAttribute(vcpu, 'current', current);
  // Says of each CPU whether it is there, and counts more than `current`.
  if (list === undefined) {
    if (wanted !== undefined) editor.append(domain, wanted);
  } else if (wanted === undefined) editor.remove(list);
  else editor.replace(list, wanted);
}
