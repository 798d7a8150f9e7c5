import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatVersion,
  losesDirtyPagesUnderTcg,
  toHypervisorInfo,
} from '../../../../src/drivers/libvirt/host-info.ts';

const CAPABILITIES = `<capabilities>
  <host><uuid>5f1c</uuid><cpu><arch>x86_64</arch><model>EPYC</model></cpu>
    <secmodel><model>apparmor</model><doi>0</doi><baselabel type='kvm'>+4:+4</baselabel></secmodel>
    <secmodel><model>dac</model><doi>0</doi><baselabel type='kvm'>+64055:+107</baselabel></secmodel></host>
  <guest><os_type>hvm</os_type><arch name='i686'><machine>isapc</machine><domain type='qemu'/></arch></guest>
  <guest><os_type>hvm</os_type><arch name='x86_64'>
    <machine canonical='pc-q35-7.2' maxCpus='288'>q35</machine><machine>pc-q35-7.2</machine>
    <domain type='qemu'/><domain type='kvm'/><domain type='xen'/></arch></guest>
</capabilities>`;

test('the capabilities of the host’s own architecture count', () => {
  const record = {
    hostname: 'node',
    uri: 'qemu:///system',
    capabilitiesXml: CAPABILITIES,
    libraryVersion: 9_000_000,
    daemonVersion: 11_003_001,
    hypervisorVersion: 7_002_022,
    features: [],
  };
  const info = toHypervisorInfo(record);
  assert.deepEqual(info, {
    hostname: 'node',
    hostUuid: '5f1c',
    uri: 'qemu:///system',
    libvirtVersion: '11.3.1',
    libraryVersion: '9.0.0',
    qemuVersion: '7.2.22',
    architecture: 'x86_64',
    accelerators: ['tcg', 'kvm'],
    machineTypes: ['q35', 'pc-q35-7.2'],
    cpuModel: 'EPYC',
    processOwner: { uid: 64055, gid: 107 },
    features: [],
  });
});

test('versions are written as people write them', () => {
  assert.equal(formatVersion(9_000_000), '9.0.0');
  assert.equal(formatVersion(10_010_003), '10.10.3');
});

test('only QEMU before 9.0 needs the odd RAM size', () => {
  assert.ok(losesDirtyPagesUnderTcg(7_002_022));
  assert.ok(!losesDirtyPagesUnderTcg(9_000_000));
});
