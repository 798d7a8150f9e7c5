import type { Machine } from '../../../../core/resources/machine.ts';
import { type DomainPart, type DomainXmlOptions, nextStart } from '../domain-part.ts';
import { extraAttributes } from '../kept-words.ts';
import { element, type XmlNode } from '../xml-node.ts';
import { attributeOf, childrenOf, findElement } from '../xml-query.ts';
import { hypervClockNode } from './hyperv-part.ts';

/** Of a new VM. */
const USUAL_OFFSET = 'utc';

export const clockPart: DomainPart = {
  drift: 'clock',

  effectOf: nextStart('clock'),

  build(machine, options) {
    return { domain: [clockNode(machine, options)] };
  },

  /** One that the machine leaves open stays as it is, unless it has said it before. */
  change(editor, domain, { clock }, { before }) {
    const present = findElement(domain, 'clock');
    const offset = clock?.offset ?? (before?.clock?.offset && USUAL_OFFSET);
    if (offset === undefined || present === undefined) return;
    if (attributeOf(present, 'offset') === offset) return;
    // What somebody else has set with another offset, such as how far the guest has put it forward, means nothing with this one.
    for (const name of ['timezone', 'adjustment', 'basis', 'start']) {
      editor.removeAttribute(present, name);
    }
    editor.setAttribute(present, 'offset', offset);
  },

  read(domain) {
    const clock = findElement(domain, 'clock');
    const offset = attributeOf(clock, 'offset');
    const isSayable = offset === 'utc' || offset === 'localtime';
    const timers = childrenOf(clock, 'timer').filter(
      (timer) => !USUAL_TIMERS.includes(extraAttributes(timer, {}).join(' ')),
    );
    return {
      machine: isSayable ? { clock: { offset } } : undefined,
      said: childrenOf(domain, 'clock'),
      kept: [
        ...extraAttributes(clock, isSayable ? { offset } : {}).map((text) => `clock ${text}`),
        ...timers.map((timer) => `clock timer ${extraAttributes(timer, {}).join(' ')}`),
      ],
    };
  },
};

/** As we would have them, and as nearly everybody has. */
const USUAL_TIMERS: readonly string[] = [
  'name=rtc tickpolicy=catchup',
  'name=pit tickpolicy=delay',
  'name=hpet present=no',
];

function clockNode(machine: Machine, { accelerator }: DomainXmlOptions): XmlNode {
  const offset = machine.clock?.offset ?? USUAL_OFFSET;
  if (accelerator === 'tcg') return element('clock', { offset });
  // With KVM's own clock the HPET only costs wake-ups.
  return element(
    'clock',
    { offset },
    element('timer', { name: 'rtc', tickpolicy: 'catchup' }),
    element('timer', { name: 'pit', tickpolicy: 'delay' }),
    element('timer', { name: 'hpet', present: 'no' }),
    hypervClockNode(machine),
  );
}
