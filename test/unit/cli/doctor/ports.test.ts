import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAgentSettings } from '../../../../src/cli/doctor/agent-settings.ts';
import { listPorts } from '../../../../src/cli/doctor/port-checks.ts';

for (const [text, detail] of [
  ['{}', 'The node is alone, so nobody else needs a port of it'],
  ['httpListen: 10.0.0.1:7480', 'To be open to here: TCP 7480 from what gathers metrics'],
  [
    'advertise: 10.0.0.1:7443',
    "To be open to here: TCP 7443 from other nodes and whoever calls the agent; TCP 49152 to 49215 from other nodes; libvirt's and QEMU's own ports need not be",
  ],
  [
    'advertise: 10.0.0.1:443\nlisten: 10.0.0.1:8443\nhttpListen: "[::]:99"\nmigration: {portMin: 5000, portMax: 5009}',
    "To be open to here: TCP 8443 from other nodes and whoever calls the agent; TCP 5000 to 5009 from other nodes; TCP 99 from what gathers metrics; libvirt's and QEMU's own ports need not be",
  ],
  ['advertise: 0.0.0.0:7443', 'The addresses cannot be used'],
] as const) {
  test(`doctor says which ports are to be open with ${JSON.stringify(text)}`, () => {
    assert.equal(listPorts(parseAgentSettings(text).settings).detail, detail);
  });
}
