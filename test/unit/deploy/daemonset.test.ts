import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { configWarnings, parseConfig } from '../../../src/core/agent-config.ts';

interface Manifest {
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: {
    readonly selector: { readonly matchLabels: Readonly<Record<string, string>> };
    readonly updateStrategy: { readonly type: string };
    readonly template: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: PodSpec;
    };
  };
}

interface PodSpec {
  readonly hostPID: boolean;
  readonly hostNetwork: boolean;
  readonly tolerations: readonly object[];
  readonly initContainers: readonly { readonly command: readonly string[] }[];
  readonly containers: readonly Container[];
  readonly volumes: readonly {
    readonly name: string;
    readonly hostPath?: { readonly path: string };
  }[];
}

interface Container {
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
  readonly resources: { readonly requests: object; readonly limits: object };
}

const text = readFileSync('deploy/daemonset.yaml', 'utf8');
const manifests = parseAllDocuments(text).map((document) => {
  assert.deepEqual(document.errors, []);
  return document.toJS() as Manifest;
});

function find(kind: string): Manifest {
  const found = manifests.find((manifest) => manifest.kind === kind);
  assert.ok(found, `no ${kind}`);
  return found;
}

function podSpec(): PodSpec {
  const spec = find('DaemonSet').spec?.template.spec;
  assert.ok(spec);
  return spec;
}

for (const [family, nodeIp, advertise, listen] of [
  ['IPv4', '10.0.0.1', '10.0.0.1:7443', '0.0.0.0:7443'],
  ['IPv6', 'fd00::1', '[fd00::1]:7443', '[::]:7443'],
] as const) {
  test(`the configuration that is rolled out to a node of ${family} is one that the agent accepts`, () => {
    const folder = mkdtempSync(join(tmpdir(), 'novacron-daemonset-'));
    try {
      writeFileSync(join(folder, 'template.yaml'), find('ConfigMap').data?.['agent.yaml'] ?? '');
      const [shell, option, script = ''] = podSpec().initContainers[0]?.command ?? [];
      assert.deepEqual([shell, option], ['/bin/sh', '-ec']);
      const here = script
        .replace('/config-template/agent.yaml', join(folder, 'template.yaml'))
        .replace('/etc/novacron/config/agent.yaml', join(folder, 'agent.yaml'));
      const env = { ...process.env, NODE_NAME: 'node-1', NODE_IP: nodeIp };
      execFileSync('/bin/sh', ['-ec', here], { env });
      const config = parseConfig(readFileSync(join(folder, 'agent.yaml'), 'utf8'), 'agent.yaml');
      assert.deepEqual(
        [config.nodeName, config.advertise, config.listen],
        ['node-1', advertise, listen],
      );
      assert.deepEqual(configWarnings(config), []);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

test('every mount has a volume, and the paths that other nodes and later pods rely on are those of the host', () => {
  const { containers, volumes } = podSpec();
  const byName = new Map(volumes.map((volume) => [volume.name, volume]));
  for (const mount of containers.flatMap((container) => container.volumeMounts)) {
    const volume = byName.get(mount.name);
    assert.ok(volume, `no volume ${mount.name}`);
    if (volume.hostPath !== undefined) assert.equal(mount.mountPath, volume.hostPath.path);
  }
  for (const path of ['/run/novacron', '/var/lib/novacron', '/run/libvirt']) {
    assert.ok(
      volumes.some((volume) => volume.hostPath?.path === path),
      path,
    );
  }
});

test('the pod is selected by its own labels and can run on any tainted node', () => {
  const spec = find('DaemonSet').spec;
  const labels = spec?.template.metadata.labels ?? {};
  for (const [key, value] of Object.entries(spec?.selector.matchLabels ?? {})) {
    assert.equal(labels[key], value);
  }
  assert.equal(spec?.updateStrategy.type, 'RollingUpdate');
  assert.deepEqual(podSpec().tolerations, [{ operator: 'Exists' }]);
  assert.equal(podSpec().hostPID, true);
  assert.equal(podSpec().hostNetwork, true);
});

test('a comment stands at each privilege', () => {
  const lines = text.split('\n');
  for (const privilege of [
    'hostPID:',
    'hostNetwork:',
    'privileged:',
    '- name: dev',
    '- name: sys',
  ]) {
    const at = lines.findIndex((line) => line.trim().startsWith(privilege));
    assert.ok(at > 0, privilege);
    assert.match(lines[at - 1] ?? '', /#/, privilege);
  }
});

test('what the image copies from the checkout is there', () => {
  const copied = [
    ...readFileSync('deploy/Dockerfile', 'utf8').matchAll(/^COPY (?!--from)(.+)$/gm),
  ].flatMap(([, words = '']) => words.split(' ').slice(0, -1));
  assert.notEqual(copied.length, 0);
  for (const path of copied) assert.ok(existsSync(path), path);
});
