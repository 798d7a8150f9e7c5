import { type DomainPart, nextStart } from '../domain-part.ts';
import { element, type XmlNode } from '../xml-node.ts';
import { attributeOf, findElement } from '../xml-query.ts';

/** A socket between the guest and programs of its node. */
export const vsockPart: DomainPart = {
  drift: 'vsock',

  effectOf: nextStart('vsock'),

  build({ vsock }) {
    return { devices: [vsock && vsockNode()] };
  },

  change(editor, domain, { vsock }, { before }) {
    const devices = findElement(domain, 'devices');
    if (devices === undefined) return;
    const present = findElement(devices, 'vsock');
    if (present === undefined) {
      if (vsock !== undefined) editor.append(devices, vsockNode());
    } else if (vsock === undefined) {
      if (before?.vsock !== undefined) editor.remove(present);
    } else if (vsock.cid === 'auto') {
      const cid = findElement(present, 'cid');
      if (cid === undefined) editor.append(present, cidNode());
      else if (attributeOf(cid, 'auto') !== 'yes') editor.replace(cid, cidNode());
    }
  },
};

function vsockNode(): XmlNode {
  return element('vsock', { model: 'virtio' }, cidNode());
}

/** libvirt gives it one at the start that no other VM of the host has, and another one where it moves to. */
function cidNode(): XmlNode {
  return element('cid', { auto: 'yes' });
}
