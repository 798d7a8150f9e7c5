import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { NodeSecrets } from '../../src/drivers/node-secrets.ts';

export interface NodeSecretsFixture extends AsyncDisposable {
  readonly secrets: NodeSecrets;
  readonly put: (name: string, content: string) => Promise<void> | void;
  readonly remove: (name: string) => Promise<void> | void;
}

const never = new AbortController().signal;

/** What all secrets of a node promise. */
export function testNodeSecrets(name: string, make: () => Promise<NodeSecretsFixture>): void {
  void describe(name, () => {
    void test('a secret is read as it is now', async () => {
      await using fixture = await make();
      const { secrets } = fixture;
      await fixture.put('root', 'first\n');
      assert.equal(String(await secrets.read('root', never)), 'first\n');
      await fixture.put('root', 'second');
      assert.equal(String(await secrets.read('root', never)), 'second');
      await fixture.remove('root');
      await assert.rejects(secrets.read('root', never), { reason: 'SECRET_NOT_FOUND' });
    });

    void test('an aborted look rejects with the reason it was aborted for', async () => {
      await using fixture = await make();
      const reason = new Error('enough');
      await assert.rejects(fixture.secrets.read('root', AbortSignal.abort(reason)), reason);
    });
  });
}
