import { type DomainPart, nextStart } from '../domain-part.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, findElement } from '../xml-query.ts';

/** Whether a field is this part's, among those of the firmware. */
export function isOfTpm(field: string): boolean {
  return OF_TPM(field) !== undefined;
}

const OF_TPM = nextStart('firmware.tpm');

/**
 * A TPM that swtpm emulates. libvirt keeps its state in a folder named for the domain's UUID, removes that with the domain, and has
 * QEMU send it in a migration.
 */
export const tpmPart: DomainPart = {
  drift: 'tpm',

  effectOf: OF_TPM,

  build({ firmware }) {
    return { devices: [firmware?.tpm === undefined ? undefined : tpmNode()] };
  },

  change(editor, domain, { firmware }) {
    const devices = findElement(domain, 'devices');
    const present = findElement(devices, 'tpm');
    const isWanted = firmware?.tpm !== undefined;
    if (present === undefined) {
      if (isWanted && devices !== undefined) editor.append(devices, tpmNode());
    } else if (!isWanted && isEmulated(present)) {
      editor.remove(present);
    }
  },
};

/** One of the host's that somebody has handed through is theirs. */
function isEmulated(tpm: XmlElement): boolean {
  return attributeOf(findElement(tpm, 'backend'), 'type') === 'emulator';
}

function tpmNode(): XmlNode {
  return element(
    'tpm',
    { model: 'tpm-crb' },
    element('backend', { type: 'emulator', version: '2.0' }),
  );
}
