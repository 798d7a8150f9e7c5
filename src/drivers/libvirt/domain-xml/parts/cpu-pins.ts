import { formatCpuList, parseCpuList } from '../../../../core/cpu-list.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement } from '../xml-query.ts';

/** Where a domain may run: its virtual CPUs each on one of `pins`, or with all else of it on those that are `shared`. */
export interface Placement {
  readonly shared: readonly number[];
  /** By virtual CPU; empty for one that shares. */
  readonly pins: readonly number[];
}

/** CPUs of the host that single virtual CPUs of a domain are held to, whoever has done so. */
export function readPinnedCpus(domain: XmlElement): readonly number[] {
  return pinsOf(domain).flatMap((pin) => parseCpuList(attributeOf(pin, 'cpuset') ?? '') ?? []);
}

function pinsOf(domain: XmlElement): readonly XmlElement[] {
  return childrenOf(findElement(domain, 'cputune'), 'vcpupin');
}

/** What else somebody has tuned stays, and of a domain that shares what its virtual CPUs were held to by hand. */
export function changePlacement(
  editor: XmlEditor,
  domain: XmlElement,
  { shared, pins }: Placement,
): void {
  const vcpu = findElement(domain, 'vcpu');
  // QEMU's own threads are held to these as well.
  if (vcpu !== undefined && attributeOf(vcpu, 'cpuset') !== formatCpuList(shared)) {
    editor.setAttribute(vcpu, 'cpuset', formatCpuList(shared));
  }
  if (pins.length === 0) return;
  const old = new Map(pinsOf(domain).map((pin) => [Number(attributeOf(pin, 'vcpu')), pin]));
  const added = [];
  for (const [index, cpu] of pins.entries()) {
    const pin = old.get(index);
    old.delete(index);
    if (pin === undefined) {
      added.push(element('vcpupin', { vcpu: String(index), cpuset: String(cpu) }));
    } else if (attributeOf(pin, 'cpuset') !== String(cpu)) {
      editor.setAttribute(pin, 'cpuset', String(cpu));
    }
  }
  for (const pin of old.values()) editor.remove(pin);
  const tune = findElement(domain, 'cputune');
  if (added.length === 0) return;
  if (tune === undefined) editor.append(domain, element('cputune', {}, ...added));
  else for (const pin of added) editor.append(tune, pin);
}

export function removePins(editor: XmlEditor, domain: XmlElement): void {
  const pins = pinsOf(domain);
  const tune = findElement(domain, 'cputune');
  if (tune === undefined || pins.length === 0) return;
  if (childrenOf(tune).length === pins.length) editor.remove(tune);
  else for (const pin of pins) editor.remove(pin);
}
