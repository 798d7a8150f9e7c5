import { CREATE_EVENT } from './events/event-store.ts';
import { CREATE_SIGHT } from './events/sight-store.ts';
import { CREATE_GUEST_FREEZE } from './guests/freeze-store.ts';
import { CREATE_AGENT_START } from './journal/agent-epoch.ts';
import {
  ADD_BLUEPRINT,
  ADD_MIGRATION_TOLD,
  ADD_OTHER_NODE_OFF,
  ADD_RUNNING,
  ADD_TURN,
  CREATE_MIGRATION,
} from './migration/migration-store.ts';
import { CREATE_NODE_SPEC } from './node/node-spec-store.ts';
import { CREATE_RESERVATION } from './node/reservation-store.ts';
import {
  ADD_OPERATION_TOLD,
  CREATE_OPERATION,
  CREATE_OPERATION_HISTORY,
} from './operations/operation-store.ts';
import { CREATE_RUN } from './runs/run-store.ts';
import { CREATE_NODE_SHUTDOWN } from './shutdown/shutdown-store.ts';
import { CREATE_IDENTIFICATION } from './vms/identification-store.ts';
import {
  ADD_DELETED,
  ADD_SETTLED,
  ADD_UNCONFIRMED,
  CREATE_OWNERSHIP,
} from './vms/ownership-store.ts';

/**
 * The journal's schema, as steps: step n leads from version n-1 to n and is made of the stores' own pieces. A step
 * that was released is never changed.
 */
export const JOURNAL_SCHEMA: readonly string[] = [
  [
    CREATE_AGENT_START,
    CREATE_MIGRATION,
    CREATE_OWNERSHIP,
    CREATE_OPERATION_HISTORY,
    CREATE_NODE_SPEC,
    CREATE_RESERVATION,
  ].join(''),
  ADD_RUNNING,
  CREATE_OPERATION,
  ADD_DELETED,
  CREATE_IDENTIFICATION,
  CREATE_RUN,
  CREATE_NODE_SHUTDOWN,
  [ADD_OTHER_NODE_OFF, ADD_TURN, ADD_UNCONFIRMED, ADD_SETTLED, ADD_BLUEPRINT].join(''),
  CREATE_GUEST_FREEZE,
  [CREATE_EVENT, CREATE_SIGHT, ADD_OPERATION_TOLD, ADD_MIGRATION_TOLD].join(''),
];
