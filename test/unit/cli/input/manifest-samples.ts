import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';

export const MANIFEST = `
apiVersion: novacron.io/v1alpha1
kind: VirtualMachine
metadata: {name: web}
spec:
  template:
    spec:
      resources: {cpu: 2, memory: 1.5Gi}
      volumes:
        - {name: root, format: qcow2, source: {file: {path: /a.qcow2}}}
`;

/** A manifest with a field of each form. */
export const FULL = `
apiVersion: novacron.io/v1alpha1
kind: VirtualMachine
metadata:
  name: web
  namespace: shop
  uid: 6b0f3c1e-1f0a-4c52-9a58-0d5b3a8f7c11
  labels: {app: web, "example.com/tier": front}
  annotations: {note: "two\\nlines"}
spec:
  runStrategy: RerunOnFailure
  template:
    metadata: {labels: {app: web}}
    spec:
      resources: {cpu: 1500m, memory: 2Gi}
      cpu: {model: host-model, topology: {sockets: 1, cores: 2, threads: 1}}
      machineType: q35
      firmware: {type: uefi}
      kernel: {path: /boot/vmlinuz, initrd: /boot/initrd, commandLine: console=ttyS0}
      volumes:
        - {name: root, format: qcow2, source: {file: {path: /a.qcow2}}, shared: true, bootOrder: 1, cache: writeback}
        - {name: data, bus: scsi, target: sda, source: {block: {path: /dev/vg/data}}, readOnly: true}
        - {name: setup, kind: cdrom, format: raw, source: {file: {path: /setup.iso}}}
      affinity: {nodeAffinity: {weight: 1}}
  migrationPolicy: {compression: false, bandwidth: 1Gbps}
  updateStrategy: {rollingUpdate: {maxUnavailable: 25%}}
`;

/** A folder with these files; folders among their names are made. */
export async function folderWith(files: Readonly<Record<string, string>>) {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'manifests-'));
  for (const [name, text] of Object.entries(files)) {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  return {
    folder,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true }),
  };
}
