import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { AgentMetrics } from '../../../src/agent/telemetry/agent-metrics.ts';
import { Heartbeat } from '../../../src/agent/telemetry/process-metrics.ts';
import { readYaml } from '../../../src/core/yaml.ts';
import { Surroundings } from '../agent/node/surroundings.ts';

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for: string;
  readonly labels: { readonly severity: string };
  readonly annotations: { readonly summary: string; readonly description: string };
}

const { groups } = readYaml(readFileSync('deploy/prometheus/alerts.yaml', 'utf8')) as {
  readonly groups: readonly { readonly rules: readonly Rule[] }[];
};
const rules = groups.flatMap((group) => group.rules);

test('alerts are about metrics that there are, and conditions that nodes have', async () => {
  using heartbeat = new Heartbeat();
  await using surroundings = await Surroundings.open();
  const { conditions } = await surroundings.get();
  const metrics = new AgentMetrics({
    agentVersion: '1.2.3',
    vms: () => [],
    unidentifiedVms: () => 0,
    memory: () => ({ allocatableBytes: 1, allocatedBytes: 1, foreignBytes: 1 }),
    nodeConditions: () => conditions,
    storageAvailableBytes: () => 0,
    certificate: () => undefined,
    activeMigrations: () => 0,
    hypervisorConnected: () => true,
    controllers: () => [],
    heartbeat,
  });
  const text = await metrics.render();
  assert.ok(rules.length > 5);
  for (const { alert, expr } of rules) {
    for (const [name] of expr.matchAll(/novacron_\w+/g)) {
      assert.ok(text.includes(`# TYPE ${name} gauge`), `${alert}: ${name}`);
    }
    for (const [selector] of expr.matchAll(/condition="\w+",status="\w+"/g)) {
      assert.ok(text.includes(`novacron_node_condition{${selector}}`), `${alert}: ${selector}`);
    }
  }
});

test('each alert says what is wrong and where to look, once it has been so for a while', () => {
  for (const rule of rules) {
    assert.match(rule.alert, /^Novacron[A-Z]\w+$/);
    assert.match(rule.for, /^\d+m$/);
    assert.match(rule.labels.severity, /^(?:critical|warning)$/);
    assert.match(rule.annotations.summary, /\{\{ \$labels\.instance \}\}/);
    assert.match(rule.annotations.description, /\.$/);
  }
  assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
});
