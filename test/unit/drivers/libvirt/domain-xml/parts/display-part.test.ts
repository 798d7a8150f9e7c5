import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Machine } from '../../../../../../src/core/resources/machine.ts';
import { buildDomainXml } from '../../../../../../src/drivers/libvirt/domain-xml/build-domain-xml.ts';
import { DomainDocument } from '../../../../../../src/drivers/libvirt/domain-xml/domain-document.ts';
import { definition, tcgOptions } from '../../../../../fixtures/domain-xml/definitions.ts';

const VNC = { type: 'vnc' } as const;

function machineWith(display: Machine['display']): Machine {
  return definition({}, { display }).spec.template.spec;
}

/** What is left of it once it was changed. */
function changed(xml: string, display: Machine['display']): string {
  return DomainDocument.parse(xml).withMachine(machineWith(display), tcgOptions).toString();
}

function build(display: Machine['display']): string {
  return buildDomainXml(definition({}, { display }), tcgOptions);
}

test('a VM has a screen if its machine says so, by a socket alone', () => {
  const none = build(undefined);
  assert.match(none, /<video>\s*<model type='none'/);
  assert.doesNotMatch(none, /<graphics|<input|xhci/);
  assert.match(none, /type='usb' index='0' model='none'/);
  const vnc = build(VNC);
  assert.match(vnc, /<graphics type='vnc' sharePolicy='ignore'>\s*<listen type='socket'/);
  assert.match(vnc, /<model type='vga'/);
  assert.match(vnc, /<input type='tablet' bus='usb'/);
  assert.match(vnc, /type='usb' index='0' model='qemu-xhci'/);
  assert.doesNotMatch(build({ ...VNC, tablet: false }), /<input|xhci/);
});

test('it is given one, and loses it again', () => {
  const given = changed(build(undefined), VNC);
  assert.match(given, /<listen type='socket'/);
  assert.match(given, /<input type='tablet'/);
  assert.match(given, /qemu-xhci/);
  const taken = changed(given, { type: 'none' });
  assert.doesNotMatch(taken, /<graphics|<input/);
  assert.match(taken, /<model type='none'/);
  assert.match(changed(given, { ...VNC, video: 'virtio' }), /<model type='virtio'/);
});

test('what the machine leaves open stays, and what is as it wants it too', () => {
  const vnc = build(VNC);
  // Of no manifest.
  const foreign = changed(build(undefined), VNC);
  assert.equal(changed(foreign, undefined), foreign);
  assert.deepEqual(DomainDocument.parse(foreign).drift, []);
  assert.equal(changed(vnc, VNC), vnc);
  // As libvirt shows one that runs.
  const live = vnc
    .replace(
      /<graphics type='vnc' sharePolicy='ignore'>\s*<listen type='socket'\/>/,
      "<graphics type='vnc' socket='/var/lib/libvirt/qemu/domain-1-x/vnc.sock'><listen type='socket' socket='/var/lib/libvirt/qemu/domain-1-x/vnc.sock'/>",
    )
    .replace("<model type='vga'/>", "<model type='vga' vram='16384' heads='1' primary='yes'/>");
  assert.notEqual(live, vnc);
  assert.equal(changed(live, VNC), live);
});

test('a screen goes with the manifest that has had it', () => {
  const taken = changed(build(VNC), undefined);
  assert.doesNotMatch(taken, /<graphics|<input/);
  assert.match(taken, /<model type='none'/);
});

test('a server that listens on the network, as others make it, is replaced', () => {
  const open = build(VNC).replace(
    /<graphics type='vnc' sharePolicy='ignore'>\s*<listen type='socket'\/>\s*<\/graphics>/,
    "<graphics type='vnc' port='-1' autoport='yes' listen='0.0.0.0'><listen type='address' address='0.0.0.0'/></graphics>",
  );
  assert.match(open, /0\.0\.0\.0/);
  const closed = changed(open, VNC);
  assert.doesNotMatch(closed, /0\.0\.0\.0/);
  assert.match(closed, /<listen type='socket'/);
});
