/**
 * The journal's schema, as steps: step n leads from version n-1 to n. A step that was released is never changed.
 * Times are milliseconds since 1970; `*_json` columns hold what stored-json.ts makes.
 */
export const SCHEMA: readonly string[] = [
  `
  CREATE TABLE agent_start (
    epoch INTEGER PRIMARY KEY,
    boot_id TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE migration (
    id TEXT PRIMARY KEY,
    role TEXT NOT NULL CHECK (role IN ('source', 'destination')),
    vm_uid TEXT NOT NULL,
    vm_namespace TEXT NOT NULL,
    vm_name TEXT NOT NULL,
    peer_node TEXT NOT NULL,
    peer_address TEXT,
    phase TEXT NOT NULL,
    cancel_requested INTEGER NOT NULL CHECK (cancel_requested IN (0, 1)),
    reason TEXT,
    message TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    transfer_token TEXT NOT NULL,
    ownership_epoch INTEGER NOT NULL,
    spec_json TEXT NOT NULL,
    phases_json TEXT NOT NULL,
    progress_json TEXT NOT NULL,
    result_json TEXT NOT NULL,
    definition_json TEXT NOT NULL
  ) STRICT;
  CREATE INDEX migration_by_start ON migration (started_at_ms);
  CREATE INDEX migration_active ON migration (role) WHERE ended_at_ms IS NULL;

  CREATE TABLE ownership (
    vm_uid TEXT PRIMARY KEY,
    vm_namespace TEXT NOT NULL,
    vm_name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    left_epoch INTEGER,
    left_to_node TEXT,
    updated_at_ms INTEGER NOT NULL,
    CHECK ((left_epoch IS NULL) = (left_to_node IS NULL))
  ) STRICT;

  CREATE TABLE operation (
    id TEXT PRIMARY KEY,
    vm_uid TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at_ms INTEGER NOT NULL,
    ended_at_ms INTEGER,
    outcome TEXT,
    error TEXT NOT NULL,
    CHECK ((ended_at_ms IS NULL) = (outcome IS NULL))
  ) STRICT;
  CREATE INDEX operation_by_start ON operation (started_at_ms);
  CREATE INDEX operation_by_vm ON operation (vm_uid, started_at_ms);
  `,
];
