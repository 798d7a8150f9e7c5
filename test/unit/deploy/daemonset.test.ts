import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { parseConfig } from '../../../src/agent/config.ts';

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

test('the configuration that is rolled out is one that the agent accepts', () => {
  const filled = (find('ConfigMap').data?.['agent.yaml'] ?? '')
    .replaceAll('$(NODE_NAME)', 'node-1')
    .replaceAll('$(NODE_IP)', '10.0.0.1');
  const config = parseConfig(filled, 'agent.yaml');
  assert.equal(config.nodeName, 'node-1');
  assert.equal(config.advertise, '10.0.0.1:7443');
});

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
