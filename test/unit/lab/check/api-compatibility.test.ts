import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { checkCompatibility } from '../../../../lab/check/api-compatibility.ts';
import { inProject } from '../../../../lab/core/project.ts';

const { signal } = new AbortController();

const RECORDED = `syntax = "proto3";
package a.v1;
service Things {
  rpc Get(Thing) returns (Thing);
  rpc Watch(Thing) returns (stream Thing);
}
message Thing {
  string name = 1;
  uint32 size = 2;
  optional uint32 limit = 3;
  Kind kind = 4;
}
message Other {}
enum Kind {
  KIND_UNSPECIFIED = 0;
  KIND_BIG = 1;
  KIND_SMALL = 2;
}
`;

/** A checkout by this project's rules, with one recorded version. */
class Checkout implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<Checkout> {
    await using undo = new AsyncDisposableStack();
    const folder = await mkdtemp(path.join(os.tmpdir(), 'novacron-api-'));
    const checkout = undo.use(new Checkout(folder));
    await cp(inProject('buf.yaml'), path.join(checkout.folder, 'buf.yaml'));
    await checkout.write('test/compatibility/version-1/proto', RECORDED);
    undo.move();
    return checkout;
  }

  async write(folder: string, text: string): Promise<void> {
    await mkdir(path.join(this.folder, folder), { recursive: true });
    await writeFile(path.join(this.folder, folder, 'a.proto'), text);
  }

  /** The check's result once the recorded text has been changed so. */
  async changed(...changes: readonly (readonly [from: string, to: string])[]) {
    let text = RECORDED;
    for (const [from, to] of changes) {
      assert.ok(text.includes(from), from);
      text = text.replace(from, to);
    }
    await this.write('proto', text);
    return checkCompatibility(this.folder, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}

test('this API can be used by the clients and peers of all recorded versions', async () => {
  const { code, stdout, stderr, detail } = await checkCompatibility(inProject(), signal);
  assert.equal(code, 0, stdout + stderr);
  assert.match(detail, /\bversion-1\b/);
});

test('what is added breaks nothing, nor does what goes and stays reserved', async () => {
  await using checkout = await Checkout.create();
  const { code, stdout, stderr } = await checkout.changed(
    ['Kind kind = 4;', 'Kind kind = 4; string more = 5;'],
    ['uint32 size = 2;', 'reserved 2; reserved "size";'],
    ['KIND_SMALL = 2;', 'KIND_TINY = 3; reserved 2; reserved "KIND_SMALL";'],
    ['rpc Get(', 'rpc Put(Thing) returns (Thing); rpc Get('],
  );
  assert.equal(code, 0, stdout + stderr);
});

const BREAKS: Readonly<Record<string, readonly [from: string, to: string, complaint: RegExp]>> = {
  'a message that is gone': ['message Other {}', '', /message "Other" was deleted/],
  'a field that is gone': ['uint32 size = 2;', '', /"2" .*without reserving the number/],
  'a field whose name alone is reserved': [
    'uint32 size = 2;',
    'reserved "size";',
    /"2" .*without reserving the number/,
  ],
  'a field of another name': ['string name = 1;', 'string title = 1;', /"1".*from "name"/],
  'a field of another number': ['uint32 size = 2;', 'uint32 size = 9;', /"2" .*was deleted/],
  'a field of another type': ['uint32 size = 2;', 'string size = 2;', /"2".*changed type/],
  'a field that becomes a list': ['string name = 1;', 'repeated string name = 1;', /cardinality/],
  'a field whose presence is lost': ['optional uint32 limit', 'uint32 limit', /cardinality/],
  'an enum value that is gone': ['KIND_SMALL = 2;', '', /"2" .*without reserving the number/],
  'an enum value of another number': ['KIND_SMALL = 2;', 'KIND_SMALL = 7;', /"2" .*was deleted/],
  'a method that is gone': ['rpc Get(Thing) returns (Thing);', '', /RPC "Get" .*was deleted/],
  'a method that no longer streams': ['(stream Thing)', '(Thing)', /"Watch".*streaming/],
};

for (const [name, [from, to, complaint]] of Object.entries(BREAKS)) {
  test(`${name} breaks it`, async () => {
    await using checkout = await Checkout.create();
    const { code, stdout } = await checkout.changed([from, to]);
    assert.notEqual(code, 0);
    assert.match(stdout, complaint);
  });
}
