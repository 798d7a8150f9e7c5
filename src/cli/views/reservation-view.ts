import type { Reservation } from '../../client/api.ts';
import { timestampMs } from '../../client/time.ts';
import { API_VERSION } from '../../core/resources/api-version.ts';
import { timestampText, withoutEmpty } from '../output/documents.ts';
import { formatAge } from '../output/durations.ts';
import type { ResourceView } from '../output/resource-view.ts';
import { vmName } from './vm-view.ts';

export function reservationView(nowMs: number): ResourceView<Reservation> {
  return {
    columns: [
      { header: 'ID', value: ({ id }) => id },
      { header: 'VM', value: ({ virtualMachine: metadata }) => vmName({ metadata }) },
      { header: 'AMOUNTS', value: amountsText },
      { header: 'ENDS IN', value: (reservation) => timeLeft(reservation, nowMs) },
    ],
    document: ({ id, virtualMachine, amounts, expireTime }) =>
      withoutEmpty({
        apiVersion: API_VERSION,
        kind: 'Reservation',
        id,
        virtualMachine: virtualMachine && withoutEmpty({ ...virtualMachine }),
        amounts,
        expireTime: timestampText(expireTime),
      }),
    name: ({ id }) => id,
  };
}

/** `cpu=2,memory=596Mi`. */
function amountsText({ amounts }: Reservation): string {
  return Object.entries(amounts)
    .map(([resource, amount]) => `${resource}=${amount}`)
    .join(',');
}

function timeLeft({ expireTime }: Reservation, nowMs: number): string {
  return expireTime === undefined ? '' : formatAge(timestampMs(expireTime) - nowMs);
}
