import { ENLIGHTENMENTS } from '../../../../core/resources/board.ts';
import { type Enlightenment, enlightenmentsOf } from '../../../../core/resources/enlightenments.ts';
import type { Machine } from '../../../../core/resources/machine.ts';
import {
  acceleratorOf,
  type DomainPart,
  type DomainXmlOptions,
  nextStart,
} from '../domain-part.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement } from '../xml-query.ts';

const CLOCK = 'hypervclock';
/** How often a guest tries for a lock before it gives up its CPU; Microsoft's figure for hosts that know them. */
const SPINLOCK_RETRIES = '8191';

/**
 * What makes Hyper-V's guests, Windows above all, know that they are guests. KVM alone gives them: without it a domain is left as it
 * is, as QEMU would ignore most and fail at some.
 */
export const hypervPart: DomainPart = {
  drift: 'hyperv',

  effectOf: nextStart('hyperv'),

  /** They stand in elements of other parts, which ask for them: see `hypervNode` and `hypervClockNode`. */
  build: () => ({}),

  change(editor, domain, machine, { before }) {
    if (acceleratorOf(domain) !== 'kvm') return;
    const had = (before && enlightenmentsOf(before)) ?? [];
    const wanted = enlightenmentsOf(machine) ?? (had.length === 0 ? undefined : []);
    if (wanted === undefined) return;
    changeFeatures(editor, domain, wanted);
    changeClock(editor, domain, wanted.length > 0);
  },
};

/** For `<features>` of a new domain. */
export function hypervNode(
  machine: Machine,
  { accelerator }: Pick<DomainXmlOptions, 'accelerator'>,
): XmlNode | undefined {
  const wanted = enlightenmentsOf(machine) ?? [];
  return accelerator === 'kvm' && wanted.length > 0 ? nodeOf(wanted) : undefined;
}

/** For `<clock>` of a new domain. */
export function hypervClockNode(machine: Machine): XmlNode | undefined {
  return (enlightenmentsOf(machine) ?? []).length > 0 ? timerNode() : undefined;
}

function nodeOf(wanted: readonly Enlightenment[]): XmlNode {
  return element('hyperv', { mode: 'custom' }, ...wanted.map(featureNode));
}

function featureNode(name: Enlightenment): XmlNode {
  return element(name, {
    state: 'on',
    retries: name === 'spinlocks' ? SPINLOCK_RETRIES : undefined,
  });
}

function timerNode(): XmlNode {
  return element('timer', { name: CLOCK, present: 'yes' });
}

function changeFeatures(
  editor: XmlEditor,
  domain: XmlElement,
  wanted: readonly Enlightenment[],
): void {
  const features = findElement(domain, 'features');
  const present = findElement(features, 'hyperv');
  if (present === undefined) {
    if (wanted.length === 0) return;
    if (features === undefined) editor.append(domain, element('features', {}, nodeOf(wanted)));
    else editor.append(features, nodeOf(wanted));
    return;
  }
  const old = childrenOf(present).filter(({ name }) => isEnlightenment(name));
  if (wanted.length === 0 && old.length === childrenOf(present).length) {
    editor.remove(present);
    return;
  }
  if (attributeOf(present, 'mode') === 'passthrough') {
    editor.setAttribute(present, 'mode', 'custom');
  }
  const names: readonly string[] = wanted;
  for (const one of old) {
    if (!names.includes(one.name)) {
      if (attributeOf(one, 'state') === 'on') editor.remove(one);
    } else if (attributeOf(one, 'state') !== 'on') {
      editor.replace(one, featureNode(one.name as Enlightenment));
    }
  }
  for (const name of wanted) {
    if (!old.some((one) => one.name === name)) editor.append(present, featureNode(name));
  }
}

/** What no manifest can name, such as `vendor_id`, is another maker's. */
function isEnlightenment(name: string): boolean {
  const all: readonly string[] = ENLIGHTENMENTS;
  return all.includes(name);
}

function changeClock(editor: XmlEditor, domain: XmlElement, isWanted: boolean): void {
  const clock = findElement(domain, 'clock');
  const timer = childrenOf(clock, 'timer').find((one) => attributeOf(one, 'name') === CLOCK);
  const isThere = timer !== undefined && attributeOf(timer, 'present') !== 'no';
  if (clock === undefined || isThere === isWanted) return;
  if (timer !== undefined) editor.remove(timer);
  if (isWanted) editor.append(clock, timerNode());
}
