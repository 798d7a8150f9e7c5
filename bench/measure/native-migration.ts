import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { run } from '../../lab/core/run-command.ts';
import { waitUntil } from '../../lab/core/wait-until.ts';
import type { Lab } from '../../lab/lab.ts';
import type { LabNode } from '../../lab/node/lab-node.ts';
import { readProcess } from '../../lab/plan/lab-processes.ts';

/** A way of migrating that libvirt and QEMU have themselves. */
export interface NativeWay {
  readonly name: string;
  /** Of `virsh migrate`. */
  readonly options: readonly string[];
  /** Properties of QEMU's migration object, for what libvirt of this version has no option for. */
  readonly properties: readonly string[];
}

const LANES = '2';

export const NATIVE_WAYS = {
  plain: { name: 'QEMU plain TCP', options: [], properties: [] },
  tls: { name: 'QEMU TLS', options: ['--tls'], properties: [] },
  // libvirt has --comp-methods zstd for parallel migrations only since 9.4.
  best: {
    name: 'QEMU TLS, multifd, zstd',
    options: ['--tls', '--parallel', '--parallel-connections', LANES],
    properties: ['multifd-compression=zstd'],
  },
  bestPlain: {
    name: 'QEMU plain, multifd, zstd',
    options: ['--parallel', '--parallel-connections', LANES],
    properties: ['multifd-compression=zstd'],
  },
} as const satisfies Record<string, NativeWay>;

/** Gives both nodes' QEMU a certificate for native migrations, and starts libvirtd again to have it read that. */
export async function allowNativeTls(lab: Lab, signal: AbortSignal): Promise<void> {
  const authority = path.join(lab.plan.directory, 'certificates/ca');
  for (const node of lab.nodes) {
    const folder = node.outside('native-tls');
    await mkdir(folder, { recursive: true });
    await run(['cp', `${authority}.pem`, `${folder}/ca-cert.pem`], {}, signal);
    const issuer = ['-CA', `${authority}.pem`, '-CAkey', `${authority}.key`];
    // QEMU before 8.2 insists on key encipherment, which keys of elliptic curves do not need.
    const extensions = [
      'basicConstraints=critical,CA:FALSE',
      'keyUsage=critical,digitalSignature,keyEncipherment',
      'extendedKeyUsage=serverAuth,clientAuth',
      `subjectAltName=IP:${node.plan.address},DNS:${node.plan.hostname}`,
    ].flatMap((extension) => ['-addext', extension]);
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    const files = ['-keyout', `${folder}/server-key.pem`, '-out', `${folder}/server-cert.pem`];
    const request = ['openssl', 'req', '-x509', '-subj', `/CN=${node.plan.hostname}`, '-days', '2'];
    await run([...request, ...key, ...files, ...issuer, ...extensions], {}, signal);
    for (const kind of ['key', 'cert']) {
      await run(['cp', `${folder}/server-${kind}.pem`, `${folder}/client-${kind}.pem`], {}, signal);
    }
    const settings = node.outside('etc/libvirt/qemu.conf');
    const before = await readFile(settings, 'utf8');
    await writeFile(settings, `${before}migrate_tls_x509_cert_dir = "${folder}"\n`);
    await restartLibvirtd(node, signal);
  }
}

async function restartLibvirtd(node: LabNode, signal: AbortSignal): Promise<void> {
  const pid = node.libvirt.findPid();
  if (pid !== undefined) {
    process.kill(pid, 'SIGTERM');
    await waitUntil('The end of libvirtd', 20_000, () => readProcess(pid) === undefined, signal);
  }
  await node.libvirt.startLibvirtd(signal);
}

/** The same VM for libvirt alone: the agent's mark is removed, so that no agent takes it for its own. */
export function nativeXml(xml: string, name: string, { properties }: NativeWay): string {
  const globals = properties.flatMap((property) => ['-global', `migration.${property}`]);
  const words = globals.map((word) => `<qemu:arg value='${word}'/>`).join('');
  const plain = xml
    .replace(/<metadata>[^]*<\/metadata>/, '')
    .replace(/<uuid>.*<\/uuid>/, '')
    .replace(/<name>.*<\/name>/, `<name>${name}</name>`)
    .replace(/<log file='[^']+'/, `<log file='/var/log/libvirt/qemu/${name}-console.log'`);
  if (words === '') return plain;
  if (plain.includes('</qemu:commandline>')) {
    return plain.replace('</qemu:commandline>', `${words}</qemu:commandline>`);
  }
  return plain
    .replace(/<domain /, "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0' ")
    .replace('</domain>', `<qemu:commandline>${words}</qemu:commandline></domain>`);
}

/** Moves it from node to node and gives the downtime as libvirt counts it. */
export async function migrateNatively(
  from: LabNode,
  to: LabNode,
  name: string,
  { way, maxDowntimeMs }: { readonly way: NativeWay; readonly maxDowntimeMs: number },
  signal: AbortSignal,
): Promise<number> {
  const live = ['migrate', '--live', '--persistent', '--undefinesource', ...way.options];
  const uris = [`qemu+unix:///system?socket=${to.libvirt.socket}`, `tcp://${to.plan.address}`];
  await from.libvirt.virsh(['migrate-setmaxdowntime', name, String(maxDowntimeMs)], signal);
  await from.libvirt.virsh([...live, name, ...uris], signal);
  const job = await to.libvirt.virsh(['domjobinfo', '--completed', name], signal);
  return Number(/^Total downtime:\s+(\d+)/m.exec(job)?.[1] ?? Number.NaN);
}
