import type { Machine } from '../../../../core/resources/machine.ts';
import { type DomainPart, nextStart } from '../domain-part.ts';
import { extraAttributes } from '../kept-words.ts';
import type { XmlEditor } from '../xml-editor.ts';
import { element, type XmlNode } from '../xml-node.ts';
import type { XmlElement } from '../xml-parser.ts';
import { attributeOf, childrenOf, findElement } from '../xml-query.ts';

export function hasDisplay({ display }: Machine): boolean {
  return display?.type === 'vnc';
}

/** A screen, the graphics card behind it, and a tablet with the USB controller that it is on. */
export const displayPart: DomainPart = {
  drift: 'display',

  effectOf: nextStart('display'),

  build(machine) {
    const isThere = hasDisplay(machine);
    return {
      devices: [
        isThere && hasTablet(machine) ? usbNode() : noUsbNode(),
        videoNode(machine),
        isThere ? graphicsNode() : undefined,
        isThere && hasTablet(machine) ? tabletNode() : undefined,
      ],
    };
  },

  /** One that the machine leaves open stays as it is, unless it has had one before. */
  change(editor, domain, machine, { before }) {
    const devices = findElement(domain, 'devices');
    const isOpen = machine.display === undefined && before?.display === undefined;
    if (isOpen || devices === undefined) return;
    changeGraphics(editor, devices, hasDisplay(machine));
    changeVideo(editor, devices, machine);
    changeTablet(editor, devices, hasDisplay(machine) && hasTablet(machine));
  },

  /** Anything but a screen as we would make it is another maker's. */
  read(domain) {
    const devices = findElement(domain, 'devices');
    const [screen, ...others] = childrenOf(devices, 'graphics');
    const [card, ...otherCards] = childrenOf(devices, 'video');
    const model = attributeOf(findElement(card, 'model'), 'type');
    const tablets = childrenOf(devices, 'input').filter(isTablet);
    const isOurs =
      screen !== undefined &&
      card !== undefined &&
      others.length + otherCards.length === 0 &&
      attributeOf(screen, 'type') === 'vnc' &&
      attributeOf(findElement(screen, 'listen'), 'type') === 'socket' &&
      ['vga', 'virtio', 'bochs'].includes(model ?? '');
    if (!isOurs) return {};
    return {
      machine: { display: { type: 'vnc', video: model, tablet: tablets.length > 0 } },
      said: [screen, card, ...tablets],
      kept: [
        ...extraAttributes(screen, { type: /./, socket: /./, sharePolicy: /./ }),
        ...extraAttributes(findElement(card, 'model'), CARD_ATTRIBUTES),
      ].map((text) => `display ${text}`),
    };
  },
};

/** What libvirt fills in. */
const CARD_ATTRIBUTES = { type: /./, vram: /./, heads: '1', primary: 'yes' };

function isTablet(input: XmlElement): boolean {
  return attributeOf(input, 'type') === 'tablet';
}

function hasTablet({ display }: Machine): boolean {
  return display?.tablet ?? true;
}

function modelOf(machine: Machine): string {
  return hasDisplay(machine) ? (machine.display?.video ?? 'vga') : 'none';
}

/** libvirt chooses the path, in a folder of the domain's that nobody else may enter. */
function graphicsNode(): XmlNode {
  // A viewer that asks to be the only one has neither the others thrown out, nor is it turned away.
  const attributes = { type: 'vnc', sharePolicy: 'ignore' };
  return element('graphics', attributes, element('listen', { type: 'socket' }));
}

function videoNode(machine: Machine): XmlNode {
  return element('video', {}, element('model', { type: modelOf(machine) }));
}

function usbNode(): XmlNode {
  return element('controller', { type: 'usb', index: '0', model: 'qemu-xhci' });
}

function noUsbNode(): XmlNode {
  return element('controller', { type: 'usb', index: '0', model: 'none' });
}

function tabletNode(): XmlNode {
  return element('input', { type: 'tablet', bus: 'usb' });
}

function graphicsOf(devices: XmlElement | undefined): readonly XmlElement[] {
  return childrenOf(devices, 'graphics').filter((one) => attributeOf(one, 'type') === 'vnc');
}

/** One that listens on the network is replaced. */
function changeGraphics(editor: XmlEditor, devices: XmlElement, isWanted: boolean): void {
  const [present, ...others] = graphicsOf(devices);
  for (const other of others) editor.remove(other);
  if (present === undefined) {
    if (isWanted) editor.append(devices, graphicsNode());
  } else if (!isWanted) {
    editor.remove(present);
  } else if (attributeOf(findElement(present, 'listen'), 'type') !== 'socket') {
    editor.replace(present, graphicsNode());
  }
}

function changeVideo(editor: XmlEditor, devices: XmlElement, machine: Machine): void {
  const [present, ...others] = childrenOf(devices, 'video');
  const model = attributeOf(findElement(present, 'model'), 'type');
  if (model === modelOf(machine)) return;
  for (const other of others) editor.remove(other);
  if (present === undefined) editor.append(devices, videoNode(machine));
  else editor.replace(present, videoNode(machine));
}

function changeTablet(editor: XmlEditor, devices: XmlElement, isWanted: boolean): void {
  const tablets = childrenOf(devices, 'input').filter(isTablet);
  if (!isWanted) {
    // The controller stays, as somebody else may have put something on it.
    for (const tablet of tablets) editor.remove(tablet);
    return;
  }
  if (tablets.length > 0) return;
  const controllers = childrenOf(devices, 'controller').filter(
    (one) => attributeOf(one, 'type') === 'usb',
  );
  const none = controllers.find((one) => attributeOf(one, 'model') === 'none');
  if (none !== undefined) editor.replace(none, usbNode());
  else if (controllers.length === 0) editor.append(devices, usbNode());
  editor.append(devices, tabletNode());
}
