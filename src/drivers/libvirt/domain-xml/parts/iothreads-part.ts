import { type DomainPart, nextStart } from '../domain-part.ts';
import { element } from '../xml-node.ts';
import { childrenOf, findElement, textOf } from '../xml-query.ts';

/** Threads that read and write disks; which disk has which says its <driver>. */
export const iothreadsPart: DomainPart = {
  drift: 'iothreads',

  effectOf: nextStart('iothreads'),

  build({ iothreads }) {
    return {
      domain: [iothreads === undefined ? undefined : element('iothreads', {}, String(iothreads))],
    };
  },

  /** Those that the machine leaves open stay as they are, unless it has had some before. */
  change(editor, domain, { iothreads }, { before }) {
    const present = findElement(domain, 'iothreads');
    if (iothreads === undefined) {
      if (present !== undefined && before?.iothreads !== undefined) editor.remove(present);
      return;
    }
    // libvirt has a domain's own numbers of threads, and would have more of them than are wanted.
    const count = String(iothreads);
    if (present === undefined) editor.append(domain, element('iothreads', {}, count));
    else if (textOf(present) !== count) {
      editor.setText(present, count);
      for (const ids of childrenOf(domain, 'iothreadids')) editor.remove(ids);
    }
  },
};
