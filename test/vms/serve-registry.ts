import { readFileSync } from 'node:fs';
import { DockerRegistry } from '../fixtures/images/docker-registry.ts';
import {
  CONFIG,
  containerDisk,
  descriptorOf,
  GZIP_TYPE,
  manifestOf,
} from '../fixtures/images/oci-content.ts';

/* A registry at a port of this node's own that asks who pulls, with the disk of a file as vms/disk:1.0, in a tar with gzip. */

const [file = '', port = ''] = process.argv.slice(2);
const layer = containerDisk(readFileSync(file), '--gzip');
const registry = await DockerRegistry.start({ asksWho: true, port: Number(port) });
for (const blob of [CONFIG, layer]) await registry.pushBlob('vms/disk', blob);
await registry.pushManifest('vms/disk', '1.0', manifestOf(descriptorOf(layer, GZIP_TYPE)));
process.stdout.write('Ready\n');
setInterval(() => undefined, 60_000);
