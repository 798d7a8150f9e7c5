import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NATIVE_WAYS, nativeXml } from '../../../bench/measure/native-migration.ts';

const XML = `<domain type='qemu'>
  <name>default_web</name>
  <uuid>6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11</uuid>
  <metadata>
    <novacron:vm>{}</novacron:vm>
  </metadata>
  <devices><serial type='pty'><log file='/var/log/a.log' append='on'/></serial></devices>
</domain>`;

test('the VM of the peer bears no mark of the agent', () => {
  const xml = nativeXml(XML, 'moving', NATIVE_WAYS.tls);
  assert.doesNotMatch(xml, /novacron|6b0f3c1e|a\.log/);
  assert.match(xml, /<name>moving<\/name>/);
  assert.doesNotMatch(xml, /qemu:/);
});

test("what libvirt has no option for is given to QEMU's migration object, on both nodes", () => {
  const added = nativeXml(XML, 'moving', NATIVE_WAYS.best);
  assert.match(added, /xmlns:qemu=.*<qemu:arg value='migration\.multifd-compression=zstd'\/>/s);
  const own = XML.replace('</domain>', '<qemu:commandline></qemu:commandline></domain>');
  assert.equal(nativeXml(own, 'moving', NATIVE_WAYS.best).match(/<qemu:commandline>/g)?.length, 1);
});
