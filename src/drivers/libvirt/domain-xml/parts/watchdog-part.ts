import type { Machine } from '../../../../core/resources/machine.ts';
import { type DomainPart, nextStart } from '../domain-part.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement } from '../xml-query.ts';

type Watchdog = NonNullable<Machine['watchdog']>;

export const watchdogPart: DomainPart = {
  drift: 'watchdog',

  effectOf: nextStart('watchdog'),

  build({ watchdog }) {
    return { devices: [watchdog && watchdogNode(watchdog)] };
  },

  change(editor, domain, { watchdog }, { before }) {
    const devices = findElement(domain, 'devices');
    if (devices === undefined) return;
    const present = childrenOf(devices, 'watchdog');
    if (watchdog === undefined) {
      const ours = before?.watchdog?.model;
      for (const one of present) if (modelOf(one) === ours) editor.remove(one);
      return;
    }
    if (!present.some((one) => modelOf(one) === watchdog.model)) {
      editor.append(devices, watchdogNode(watchdog));
    }
    for (const one of present) {
      // That of the board is there whoever wants it, since libvirt 9.1, and no two may differ in what they do.
      const stays = modelOf(one) === watchdog.model || modelOf(one) === 'itco';
      if (!stays) editor.remove(one);
      else if ((attributeOf(one, 'action') ?? 'reset') !== watchdog.action) {
        editor.setAttribute(one, 'action', watchdog.action);
      }
    }
  },
};

function modelOf(watchdog: XmlElement): string | undefined {
  return attributeOf(watchdog, 'model');
}

function watchdogNode({ model, action }: Watchdog): XmlNode {
  return element('watchdog', { model, action });
}
